import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Report, Role } from '../setup/doctor/run.ts';
import { EXIT_FAILURE } from './fail.ts';
import { type Connect, live } from './machine.ts';
import { printJson, printLine } from './print.ts';

interface Flags {
  readonly host?: boolean;
  readonly guest?: boolean;
  readonly socket?: string;
  readonly qemu: string;
  readonly slots: number;
  readonly vectors: number;
  readonly json?: boolean;
}

/** `connect`: the machine to work on; tests put a fake one here. */
export function register(program: Command, connect: Connect = live): void {
  program
    .command('doctor')
    .description('check this host or guest; every finding that is not ok ends with its fix')
    .addOption(new Option('--host', 'check as a host').conflicts('guest'))
    .option('--guest', 'check as a guest (default where an ivshmem device is present)')
    .addOption(new Option('--socket <path>', 'the socket of `ivshmem server`').env('IVSHMEM_SOCKET'))
    .option('--qemu <program>', 'the QEMU to look at', defaultQemu())
    .option('--slots <n>', 'slots of the region', positive, 64)
    .option('--vectors <n>', 'vectors per slot', positive, 2)
    .option('--json', 'print the report as JSON')
    .action((flags: Flags) => run(connect, flags));
}

async function run(connect: Connect, flags: Flags): Promise<void> {
  const { examine } = await import('../setup/doctor/run.ts');
  const role: Role | undefined = flags.host ? 'host' : flags.guest ? 'guest' : undefined;
  const { qemu, socket, slots, vectors } = flags;
  const report = await examine(await connect(), { role, host: { qemu, socket, slots, vectors } });
  if (flags.json) printJson(report);
  else for (const line of describe(report)) printLine(line);
  if (!report.healthy) process.exitCode = EXIT_FAILURE;
}

/** A report as lines of text. */
export function describe({ role, findings }: Report): string[] {
  const lines = [`checked as a ${role}`];
  const width = Math.max(...findings.map((finding) => finding.name.length));
  for (const finding of findings) {
    lines.push(`${finding.level.padEnd(7)}  ${finding.name.padEnd(width)}  ${finding.found}`);
    if (finding.level !== 'ok') lines.push(`${' '.repeat(width + 11)}fix: ${finding.fix}`);
  }
  return lines;
}

function defaultQemu(): string {
  return `qemu-system-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}`;
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('It must be a positive integer.');
  return value;
}
