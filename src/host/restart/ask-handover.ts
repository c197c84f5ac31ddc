import { Socket } from 'node:net';
import { binding } from '../../native/binding.ts';

/** A request on its way; close() gives up on it. */
export interface AskHandover {
  close(): void;
}

/**
 * Writes the request `handover` to a control socket. `onRefused` is told when the answer is no, or none comes. Throws what the
 * connect throws.
 */
export function askHandover(control: string, to: string, onRefused: (why: string) => void): AskHandover {
  // Not net.connect: its abstract addresses are as long as the field, and thus other ones (libuv 1.46).
  const socket = new Socket({ fd: binding.socketConnect(control), readable: true, writable: true });
  let answer = '';
  socket.setEncoding('utf8');
  socket.on('data', (text: string) => {
    answer += text;
    if (!answer.includes('\n')) return;
    const why = refusal(answer.slice(0, answer.indexOf('\n')));
    if (why !== null) onRefused(why);
  });
  socket.on('error', (error) => onRefused(`${control}: ${error.message}`));
  socket.on('end', () => {
    if (!answer.includes('\n')) onRefused('the running server closed its control socket');
  });
  socket.write(`${JSON.stringify({ op: 'handover', to })}\n`);
  return { close: () => socket.destroy() };
}

/** Why the server says no; null when it says yes. */
function refusal(line: string): string | null {
  try {
    const answer = JSON.parse(line) as { ok?: unknown; message?: unknown };
    return answer.ok === true ? null : String(answer.message ?? line);
  } catch {
    return `it answered ${line}`;
  }
}
