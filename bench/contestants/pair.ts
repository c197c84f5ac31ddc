import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Options } from './options.ts';

/** Pins this process with all its threads; the partner is pinned by being started under taskset. */
export function pinSelf(cpu: number): void {
  execFileSync('taskset', ['-a', '-c', '-p', String(cpu), String(process.pid)], { stdio: 'ignore' });
}

/** Starts the second process of a pair on the other CPU, running the same file. */
export function startPartner(options: Options, address: string): ChildProcess {
  const args = ['-c', String(options.cpuB), process.execPath, ...process.execArgv, process.argv[1]!];
  const { mode, transport, channels, ms } = options;
  const flags = { role: 'partner', address, mode, transport, channels, ms };
  for (const [name, value] of Object.entries(flags)) args.push(`--${name}`, String(value));
  return spawn('taskset', args, { stdio: ['pipe', 'pipe', 'inherit'] });
}

/** In the partner: tells the first process that it is ready, and where. */
export function announce(address: string): void {
  process.stdout.write(`${address}\n`);
}

/** The partner's announcement; a partner that ends without one is a failure. */
export async function announced(partner: ChildProcess): Promise<string> {
  let text = '';
  for await (const chunk of partner.stdout!.setEncoding('utf8')) {
    text += chunk;
    if (text.includes('\n')) return text.slice(0, text.indexOf('\n'));
  }
  fail('the partner ended before it was ready');
}

/** In the partner: end with the process that started it, whatever ended that one. */
export function endWithParent(): void {
  process.stdin.on('end', () => process.exit(0)).resume();
}

/** Kills the partner and waits for it, so that its CPU time is accounted to this pair. */
export async function endPartner(partner: ChildProcess): Promise<void> {
  if (partner.exitCode !== null || partner.signalCode !== null) return;
  const ended = once(partner, 'exit');
  partner.kill('SIGKILL');
  await ended;
}

export function fail(why: string): never {
  process.stderr.write(`${why}\n`);
  process.exit(1);
}
