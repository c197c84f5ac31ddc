import type { Readable } from 'node:stream';

/** The lines of a stream, one after the other; null at its end. */
export function lineReader(stream: Readable): () => Promise<string | null> {
  let text = '';
  let ended = false;
  let wake = (): void => {};
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    wake();
  });
  stream.on('close', () => {
    ended = true;
    wake();
  });
  return async () => {
    for (;;) {
      const end = text.indexOf('\n');
      if (end >= 0) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        return line;
      }
      if (ended) return null;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
}
