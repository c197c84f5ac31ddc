#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { register as bind } from './bind.ts';
import { register as demo } from './demo.ts';
import { register as doctor } from './doctor.ts';
import { register as drain } from './drain.ts';
import { register as dsm } from './dsm.ts';
import { register as evict } from './evict.ts';
import { fail } from './fail.ts';
import { register as members } from './members.ts';
import { register as migrate } from './migrate.ts';
import { register as server } from './server.ts';
import { register as status } from './status.ts';
import { register as study } from './study.ts';
import { register as top } from './top.ts';
import { register as tun } from './tun.ts';
import { register as unbind } from './unbind.ts';

/** One file per command, in the order --help shows them. Each loads what it needs only when it runs. */
const commands: readonly ((program: Command) => void)[] = [
  bind,
  unbind,
  status,
  doctor,
  members,
  top,
  tun,
  dsm,
  server,
  drain,
  migrate,
  evict,
  demo,
  study,
];

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

const program = new Command('ivshmem')
  .description('Inter-VM communication at memory speed')
  .version(version())
  // Commands inherit both, so they are set before these are registered: errors are thrown, and printed in one place.
  .exitOverride()
  .configureOutput({ outputError: () => {} });
for (const register of commands) register(program);

const complain = (text: string): void => void process.stderr.write(text);

// A reader that goes away (`ivshmem status | head -1`) ends the program quietly, as it does others.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? process.exitCode : fail(error, complain));
});

try {
  await program.parseAsync();
} catch (error) {
  // Not process.exit: what was printed must reach a pipe first.
  process.exitCode = fail(error, complain);
}
