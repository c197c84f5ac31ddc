/**
 * Drives virtio-pci devices from inside a guest. One JSON line on stdout per command.
 *   virtio rng ADDRESS BYTES
 *   virtio blk ADDRESS MIB indirect|chained   writes that many MiB, flushes, reads them back
 */
import { createCipheriv, createHash } from 'node:crypto';
import { isIvshmemError } from '../../../src/errors/index.ts';
import { VirtioBlk } from '../../../src/virtio/blk.ts';
import { VirtioRng } from '../../../src/virtio/rng.ts';

const [command, address = '', amount = '0', mode = 'indirect'] = process.argv.slice(2);
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

const PIECE_BYTES = 1 << 20;
const SECTOR_BYTES = 512;
/** Pieces under way at a time, so that more requests wait than there is room for. */
const DEPTH = 4;

/** Bytes that repeat nowhere: the key stream of AES-CTR. */
const stream = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16, 1));
const nextPiece = (): Buffer => stream.update(Buffer.alloc(PIECE_BYTES));

async function rng(bytes: number): Promise<void> {
  using device = await VirtioRng.open(address);
  const data = await device.read(bytes);
  say({ bytes: data.length, distinct: new Set(data).size });
}

async function blk(pieces: number): Promise<void> {
  const disk = await VirtioBlk.open(address, { indirect: mode === 'indirect' });
  const sectors = PIECE_BYTES / SECTOR_BYTES;
  const written = createHash('sha256');
  const start = performance.now();
  for (let n = 0; n < pieces; n += DEPTH)
    await Promise.all(
      Array.from({ length: Math.min(DEPTH, pieces - n) }, (_, i) => {
        const piece = nextPiece();
        written.update(piece);
        return disk.write((n + i) * sectors, piece);
      }),
    );
  await disk.flush();
  const read = createHash('sha256');
  for (let n = 0; n < pieces; n += DEPTH) {
    const count = Math.min(DEPTH, pieces - n);
    const back = await Promise.all(
      Array.from({ length: count }, (_, i) => disk.read((n + i) * sectors, sectors)),
    );
    for (const piece of back) read.update(piece);
  }
  say({
    capacity: disk.capacity,
    features: [...disk.features].sort((a, b) => a - b),
    written: written.digest('hex'),
    read: read.digest('hex'),
    seconds: (performance.now() - start) / 1000,
  });
  disk.close();
}

try {
  if (command === 'rng') await rng(Number(amount));
  else if (command === 'blk') await blk(Number(amount));
  else throw new Error(`no command ${command}`);
} catch (error) {
  if (!isIvshmemError(error)) throw error;
  say({ code: error.code, message: error.message });
  process.exitCode = error.kind === 'usage' ? 2 : 1;
}
