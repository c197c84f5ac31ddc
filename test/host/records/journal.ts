import { closeSync } from 'node:fs';
import t from 'tap';
import { isIvshmemError } from '../../../src/errors/index.ts';
import { Journal } from '../../../src/host/records/journal.ts';
import { MemfdStorage, type Storage } from '../../../src/host/records/storage.ts';
import { binding } from '../../../src/native/binding.ts';
import { Random, testSeed } from '../../support/random.ts';

/** Small, so that every test meets compaction. */
const COMPACT = 2000;

class Killed extends Error {}

/** Sparse memory that dies in the middle: after `budget` steps, a byte written being one and a clear being one. */
class FakeStorage implements Storage {
  readonly bytes = new Map<number, Buffer>();
  budget = Number.POSITIVE_INFINITY;
  steps = 0;
  static readonly UNIT = 4096;

  write(bytes: Buffer, position: number): void {
    for (const byte of bytes) {
      this.#step();
      this.set(position++, byte);
    }
  }

  set(position: number, byte: number): void {
    const page = Math.floor(position / FakeStorage.UNIT);
    let buffer = this.bytes.get(page);
    if (buffer === undefined) {
      buffer = Buffer.alloc(FakeStorage.UNIT);
      this.bytes.set(page, buffer);
    }
    buffer[position % FakeStorage.UNIT] = byte;
  }

  get(position: number): number {
    return this.bytes.get(Math.floor(position / FakeStorage.UNIT))?.[position % FakeStorage.UNIT] ?? 0;
  }

  read(position: number, length: number): Buffer {
    const pages = [...this.bytes.keys()];
    const end = pages.length === 0 ? 0 : (Math.max(...pages) + 1) * FakeStorage.UNIT;
    const bytes = Buffer.alloc(Math.max(0, Math.min(length, end - position)));
    for (const [page, content] of this.bytes) {
      const from = page * FakeStorage.UNIT - position;
      if (from < bytes.length && from + FakeStorage.UNIT > 0) {
        content.copy(bytes, Math.max(0, from), Math.max(0, -from));
      }
    }
    return bytes;
  }

  clear(position: number, length: number): void {
    this.#step();
    for (const page of [...this.bytes.keys()]) {
      const start = page * FakeStorage.UNIT;
      if (start >= position && start < position + length) this.bytes.delete(page);
    }
  }

  close(): void {}

  copy(): FakeStorage {
    const copy = new FakeStorage();
    for (const [page, content] of this.bytes) copy.bytes.set(page, Buffer.from(content));
    return copy;
  }

  #step(): void {
    if (this.steps >= this.budget) throw new Killed();
    this.steps++;
  }
}

type Commit = readonly (readonly [string, unknown])[];

function randomCommit(random: Random): Commit {
  return Array.from({ length: 1 + random.below(4) }, () => {
    const key = `slot.${random.below(12)}`;
    if (random.oneIn(4)) return [key, null] as const;
    return [key, { name: 'ä\n"'.repeat(random.below(8)), n: random.below(1000) }] as const;
  });
}

function apply(model: Map<string, unknown>, commit: Commit): Map<string, unknown> {
  const next = new Map(model);
  for (const [key, value] of commit) {
    if (value === null) next.delete(key);
    else next.set(key, value);
  }
  return next;
}

const sorted = (entries: ReadonlyMap<string, unknown>): unknown =>
  [...entries].sort(([a], [b]) => (a < b ? -1 : 1));

const load = (storage: Storage): Journal => Journal.load(storage, 'test', COMPACT);

t.test('random commits, loaded again and again', async (t) => {
  const seed = testSeed();
  const random = new Random(seed);
  const storage = MemfdStorage.create('journal');
  t.teardown(() => storage.close());
  let journal = Journal.create(storage, COMPACT);
  let model = new Map<string, unknown>();
  for (let i = 0; i < 3000; i++) {
    const commit = randomCommit(random);
    journal.append(commit);
    model = apply(model, commit);
    if (random.oneIn(40)) {
      journal = load(storage);
      t.same(sorted(journal.entries()), sorted(model), `seed ${seed}, commit ${i}`);
    }
  }
  t.same(sorted(journal.entries()), sorted(model));
});

t.test('a server killed at any byte of a commit or a compaction', async (t) => {
  const seed = testSeed();
  const random = new Random(seed);
  const storage = new FakeStorage();
  const journal = Journal.create(storage, COMPACT);
  let model = new Map<string, unknown>();
  let killed = 0;
  for (let i = 0; i < 30; i++) {
    const commit = randomCommit(random);
    const before = storage.copy();
    const { steps } = storage;
    journal.append(commit);
    const taken = storage.steps - steps;
    const after = apply(model, commit);
    // What is loaded is compacted before the next commit, so each is cut in either.
    const stride = taken > 400 ? 13 : 3;
    for (let budget = 0; budget < taken; budget += stride) {
      const victim = before.copy();
      const cut = load(victim);
      victim.budget = budget;
      try {
        cut.append(commit);
      } catch (error) {
        if (!(error instanceof Killed)) throw error;
        killed++;
      }
      victim.budget = Number.POSITIVE_INFINITY;
      const found = sorted(load(victim).entries());
      if (JSON.stringify(found) !== JSON.stringify(sorted(model))) {
        // The commit may be complete although a compaction behind it was cut.
        if (JSON.stringify(found) !== JSON.stringify(sorted(after))) t.same(found, sorted(model));
      }
      // And it goes on.
      const again = load(victim);
      again.append([['more', { i }]]);
      if (!load(victim).entries().has('more')) t.fail('the journal does not go on');
    }
    model = after;
  }
  t.ok(killed > 300, `${killed} deaths, seed ${seed}`);
});

t.test('the last commit cut at every byte never happened', async (t) => {
  const storage = new FakeStorage();
  const journal = Journal.create(storage);
  for (let i = 0; i < 5; i++) journal.append([[`key.${i}`, { i }]]);
  const before = storage.copy();
  const { steps } = storage;
  const last: Commit = [['last', { text: 'ü'.repeat(20) }]];
  storage.budget = Number.POSITIVE_INFINITY;
  journal.append(last);
  const length = storage.steps - steps;
  const written = [...differences(before, storage)];
  t.ok(length >= written.length && length > 40);
  for (let cut = 0; cut < written.length; cut++) {
    const victim = before.copy();
    for (const [position, byte] of written.slice(0, cut)) victim.set(position, byte);
    t.same([...Journal.load(victim, 'test').entries().keys()].length, 5, `cut at ${cut}`);
  }
  t.equal(Journal.load(storage, 'test').entries().size, 6);
});

t.test('a bit that flipped anywhere is refused, or does not matter', async (t) => {
  const storage = new FakeStorage();
  const journal = Journal.create(storage);
  for (let i = 0; i < 6; i++) journal.append([[`key.${i}`, { i, text: 'x'.repeat(i) }]]);
  journal.compact();
  for (let i = 6; i < 10; i++) journal.append([[`key.${i}`, { i }]]);
  const right = sorted(journal.entries());
  let refused = 0;
  for (const [position, byte] of [...differences(new FakeStorage(), storage)]) {
    for (let bit = 0; bit < 8; bit++) {
      const victim = storage.copy();
      victim.set(position, byte ^ (1 << bit));
      try {
        const found = sorted(Journal.load(victim, 'test').entries());
        if (JSON.stringify(found) !== JSON.stringify(right)) t.same(found, right);
      } catch (error) {
        if (!isIvshmemError(error, 'ERR_IVSHMEM_SERVER_STATE')) throw error;
        refused++;
      }
    }
  }
  t.ok(refused > 1000);
});

t.test('what is no journal', async (t) => {
  for (const content of ['', 'x', 'ivshmem journal\n', '\0'.repeat(100), 'z'.repeat(5000)]) {
    const fd = binding.createMemfd('nonsense', 1, false, false);
    const storage = new MemfdStorage(fd);
    if (content !== '') storage.write(Buffer.from(content), 0);
    t.throws(() => Journal.load(storage, 'red'), {
      code: 'ERR_IVSHMEM_SERVER_STATE',
      message: /take up the region red/,
    });
    closeSync(fd);
  }
});

/** [position, byte] of every byte that is not the same, ascending. */
function* differences(before: FakeStorage, after: FakeStorage): Generator<[number, number]> {
  for (const page of [...after.bytes.keys()].sort((a, b) => a - b)) {
    for (let i = 0; i < FakeStorage.UNIT; i++) {
      const position = page * FakeStorage.UNIT + i;
      if (after.get(position) !== before.get(position)) yield [position, after.get(position)];
    }
  }
}
