import { existsSync } from 'node:fs';
import path from 'node:path';
import { benchRoot, outFolder } from '../harness/build.ts';
import { oursName } from '../harness/rows.ts';
import type { Contestant } from '../harness/types.ts';

/** A floor: a C program that must build. */
export function floor(name: string, program: string, mode = ''): Contestant {
  return { name, command: [path.join(outFolder, program), '--mode', mode] };
}

/** A C or C++ peer that is only there when its Debian packages are (bench/prerequisites.sh). */
export function nativePeer(name: string, mode: string): Contestant {
  const program = path.join(outFolder, name);
  const there = existsSync(program);
  return {
    name,
    command: [program, '--mode', mode],
    ...(there ? {} : { absent: `not built: its headers are not installed (bench/prerequisites.sh)` }),
  };
}

export function absentPeer(name: string, why: string): Contestant {
  return { name, command: [], absent: why };
}

/** Node's own sockets. */
export function stream(transport: 'unix' | 'tcp', mode: string): Contestant {
  return { name: transport, command: nodeCommand('stream', mode, '--transport', transport) };
}

export function zeromq(mode: string): Contestant {
  const there = existsSync(path.join(benchRoot, 'node_modules/zeromq'));
  const command = nodeCommand('zeromq', mode);
  return { name: 'zeromq', command, ...(there ? {} : { absent: 'not installed (npm ci --prefix bench)' }) };
}

/** The product through its public API. */
export function ours(mode: string, name = oursName, ...more: string[]): Contestant {
  return { name, command: nodeCommand('ours', mode, ...more) };
}

function nodeCommand(bundle: string, mode: string, ...more: string[]): string[] {
  return [process.execPath, path.join(outFolder, `${bundle}.mjs`), '--mode', mode, ...more];
}
