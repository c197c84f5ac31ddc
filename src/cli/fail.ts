import { CommanderError } from 'commander';
import { IvshmemError, isIvshmemError } from '../errors/index.ts';

export const EXIT_OK = 0;
export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;

/** Where a message goes; process.stderr in the program. */
export type Print = (text: string) => void;

interface SystemError extends NodeJS.ErrnoException {
  readonly syscall: string;
  readonly address?: string;
  readonly port?: number;
}

/** Of the kernel, about a file or an address that the user named, or a disk that is full. */
function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && 'errno' in error && typeof (error as SystemError).syscall === 'string';
}

/** What a call of the kernel was for: `open /etc/x`, `listen 192.0.2.1:80`. */
function operationOf({ syscall, path, address, port }: SystemError): string {
  const on = path ?? (port === undefined ? address : `${address ?? ''}:${port}`);
  return on === undefined ? syscall : `${syscall} ${on}`;
}

/**
 * Tells the user about an error and returns the exit status: 2 when the command line was wrong, 1 when the world was.
 * A catalogued error is printed as what failed and why, what to do, and its code; anything else is our fault and
 * printed with its stack.
 */
export function fail(error: unknown, print: Print): number {
  if (error instanceof CommanderError) {
    // --help and --version arrive here too, with 0; a missing command comes with its help already printed.
    if (error.exitCode === 0) return EXIT_OK;
    if (error.code === 'commander.help') return EXIT_USAGE;
    const why = error.message
      .replace(/^error: /, '')
      .replace(/\.?\s*$/, '')
      .replace(/\s*\n\s*/g, ' ');
    return fail(new IvshmemError('ERR_IVSHMEM_CLI_USAGE', { why }), print);
  }
  if (isIvshmemError(error)) {
    const what = error.message.endsWith(error.remedy)
      ? error.message.slice(0, -error.remedy.length).trimEnd()
      : error.message;
    print(`ivshmem: ${what}\n  ${error.remedy}\n  [${error.code}]\n`);
    return error.kind === 'usage' ? EXIT_USAGE : EXIT_FAILURE;
  }
  if (isSystemError(error)) {
    const about = { operation: operationOf(error), why: error.message };
    return fail(new IvshmemError('ERR_IVSHMEM_CLI_SYSTEM', about, { cause: error }), print);
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  print(`ivshmem: unexpected error, please report it\n${text}\n`);
  return EXIT_FAILURE;
}
