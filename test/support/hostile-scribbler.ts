/**
 * The other side of test/hostile/virtqueue.ts: maps the memory behind descriptor 3 and writes nonsense into the queue there
 * until it is killed or its parent is gone. Arguments: bytes, start of the ring, descriptors, bytes of data.
 */
import { binding } from '../../src/native/binding.ts';
import { Random } from './random.ts';

const [bytes, start, size, data] = process.argv.slice(2).map(Number);
scribble(bytes!, start!, size!, data!);

function scribble(bytes: number, start: number, size: number, data: number): void {
  const words = new Int32Array(binding.mapFile(3, 0, bytes, true).buffer);
  const random = new Random(1);
  const parent = process.ppid;
  const end = start + size * 16 + 16 + data;
  process.stdout.write('ready\n');
  while (process.ppid === parent) {
    for (let i = 0; i < 100_000; i++) {
      words[(start >>> 2) + random.below((end - start) >>> 2)] = random.bits();
      // Most descriptors are worth reading: marks of either lap, every kind, addresses inside and just outside.
      const at = (start >>> 2) + random.below(size) * 4;
      words[at] = end - data - 256 + random.below(data + 512);
      words[at + 1] = random.oneIn(8) ? random.bits() : 0;
      words[at + 2] = random.oneIn(8) ? random.bits() : random.below(64);
      words[at + 3] =
        ((random.pick([0x80, 0x8000, 0x8080, 0]) | random.below(8)) << 16) | random.below(size + 2);
    }
  }
}
