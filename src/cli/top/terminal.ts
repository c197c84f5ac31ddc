import { writeSync } from 'node:fs';

/** ECMA-48 and xterm: the alternate screen, so that what was in the terminal comes back; and the cursor. */
const ENTER = '\x1b[?1049h\x1b[2J\x1b[H\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';

/**
 * Takes the terminal's alternate screen; the function returned gives it back, once. However the process ends, short of kill -9,
 * it is given back: Node itself restores the line discipline.
 */
export function enterScreen(stdout: { readonly fd: number }): () => void {
  let entered = true;
  const leave = (): void => {
    if (!entered) return;
    entered = false;
    process.off('exit', leave);
    try {
      // Synchronous: at exit nothing else is written any more.
      writeSync(stdout.fd, LEAVE);
    } catch {
      // The terminal is gone.
    }
  };
  process.on('exit', leave);
  writeSync(stdout.fd, ENTER);
  return leave;
}
