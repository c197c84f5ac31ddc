import { execFile } from 'node:child_process';

/**
 * Runs a program to its end and returns its standard output.
 * @throws Error naming the command, its status and the end of what it said, when it fails or cannot start.
 */
export function command(file: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { env: { ...process.env, ...env }, maxBuffer: 64 << 20, encoding: 'utf8' as const };
    execFile(file, args, options, (error, stdout, stderr) => {
      if (!error) return resolve(stdout);
      const said = (stderr || stdout || error.message).trim().split('\n').slice(-12).join('\n');
      reject(
        new Error(`\`${[file, ...args].join(' ')}\` failed (${error.code ?? error.signal}):\n${said}`, {
          cause: error,
        }),
      );
    });
  });
}
