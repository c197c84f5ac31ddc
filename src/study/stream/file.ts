import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  createReadStream,
  createWriteStream,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import type net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { makePattern, stamp } from './content.ts';
import type { Measured } from './measuring.ts';

/** Asks for the file once more. */
const GO = Buffer.from([1]);
const PIECE_BYTES = 65_536;

/** A folder that goes with the process, whatever ends it but a SIGKILL. */
function folder(): { readonly path: string; readonly remove: () => void } {
  const made = mkdtempSync(path.join(tmpdir(), 'ivshmem-study-file-'));
  const remove = (): void => rmSync(made, { recursive: true, force: true });
  process.once('exit', remove);
  return {
    path: made,
    remove: () => {
      process.removeListener('exit', remove);
      remove();
    },
  };
}

/** What is in the file: no two pieces are alike. */
function contentOf(bytes: number): Buffer {
  const words = new Int32Array(bytes / 4);
  const pattern = makePattern(PIECE_BYTES);
  for (let at = 0; at < words.length; at += pattern.length) {
    words.set(pattern.subarray(0, Math.min(pattern.length, words.length - at)), at);
    stamp(words, at, Math.min(PIECE_BYTES, (words.length - at) * 4), at);
  }
  return Buffer.from(words.buffer);
}

/** The answering side: sends a file of `bytes` each time it is asked to, as programs do, until the other side closes. */
export async function sendFiles(socket: net.Socket, bytes: number): Promise<void> {
  const { path: own, remove } = folder();
  try {
    const file = path.join(own, 'sent');
    writeFileSync(file, contentOf(bytes));
    let asked = 0;
    let wake = () => {};
    socket.on('data', (piece: Buffer) => {
      asked += piece.length;
      wake();
    });
    socket.on('close', () => wake());
    while (!socket.destroyed) {
      if (asked === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      asked--;
      // The other side ends a sample by closing, maybe in the middle.
      await pipeline(createReadStream(file), socket, { end: false }).catch(() => socket.destroy());
    }
  } finally {
    remove();
  }
}

/** The measuring side of a connection that is on its path: a step asks for so many files, each written to a file of its own. */
export function receiveFiles(socket: net.Socket, bytes: number): Measured {
  const { path: own, remove } = folder();
  const file = path.join(own, 'received');
  let fail = (_: Error): void => {};
  socket.on('error', (error) => fail(error));
  socket.on('close', () => fail(new Error('the answering side closed')));
  const one = async (): Promise<void> => {
    const out = createWriteStream(file);
    const received = new Promise<void>((resolve, reject) => {
      fail = reject;
      let left = bytes;
      const take = (piece: Buffer): void => {
        left -= piece.length;
        if (!out.write(piece)) {
          socket.pause();
          out.once('drain', () => socket.resume());
        }
        if (left > 0) return;
        socket.removeListener('data', take);
        // Or nobody would: a file that has ended drains no more.
        socket.resume();
        resolve();
      };
      socket.on('data', take);
    });
    socket.write(GO);
    await received;
    out.end();
    await once(out, 'close');
  };
  return {
    forget: () => {},
    step: async (n) => {
      for (let i = 0; i < n; i++) await one();
    },
    end: async () => {
      fail = () => {};
      const digest = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
      try {
        if (digest(readFileSync(file)) !== digest(contentOf(bytes)))
          throw new Error('the file is another one');
        return 0;
      } finally {
        remove();
        socket.destroy();
        if (!socket.closed) await once(socket, 'close');
      }
    },
  };
}
