import { closeSync, rmSync } from 'node:fs';
import t from 'tap';
import { binding } from '../../src/native/binding.ts';

type Callable = (...args: unknown[]) => unknown;
type Class = new (...args: unknown[]) => Record<string, Callable>;

const loose = binding as unknown as Record<string, Callable>;
const classes = binding as unknown as Record<string, Class>;

const values: readonly unknown[] = [
  undefined,
  null,
  true,
  -1,
  -2,
  1.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  2 ** 31,
  2 ** 53,
  2 ** 63,
  1_000_000,
  10n,
  '',
  'text',
  'nul\0',
  'x'.repeat(5000),
  Symbol('s'),
  {},
  [],
  [1.5],
  ['a'],
  [-2],
  new Array(70_000).fill(0),
  new Proxy([], {}),
  () => {},
  new ArrayBuffer(0),
  new ArrayBuffer(8),
  new SharedArrayBuffer(8),
  new Int32Array(0),
  new Uint8Array(8),
  new DataView(new ArrayBuffer(8)),
];

/** Numbers among the values are no open descriptors: nothing of this process is read, written or closed by accident. */
const functions = Object.keys(loose).filter(
  (name) => typeof loose[name] === 'function' && /^[a-z]/.test(name),
);

t.test('every function refuses every wrong argument with an Error', async (t) => {
  let refused = 0;
  for (const name of functions) {
    for (let position = 0; position < 7; position++) {
      for (const value of values) {
        const args = new Array(7).fill(1_000_000);
        args[position] = value;
        for (const count of [position, position + 1, 7]) {
          try {
            const made = loose[name]?.(...args.slice(0, count));
            if (name === 'eventfdCreate' || name === 'datagramBind') closeSync(made as number);
            if (name === 'datagramBind' && value === 'text') rmSync('text');
          } catch (error) {
            if (!(error instanceof Error)) t.fail(`${name} threw ${String(error)}`);
            refused++;
          }
        }
      }
    }
  }
  t.ok(refused > 10_000, `${refused} refusals`);
});

t.test('every error is a TypeError, a RangeError or has code, errno and syscall', async (t) => {
  // These take such numbers: without arguments, or of a process that is not there.
  const fine = ['eventfdCreate', 'yieldProcessor', 'waitForExit'];
  for (const name of functions.filter((name) => !fine.includes(name))) {
    for (const value of [undefined, -5, {}, 'no/such/folder', 1_000_000]) {
      try {
        loose[name]?.(value, value, value, value, value, value, value);
        t.fail(`${name}(${String(value)}) was accepted`);
      } catch (error) {
        const { code, errno, syscall } = error as NodeJS.ErrnoException;
        if (!(error instanceof TypeError || error instanceof RangeError)) {
          t.match({ code, errno, syscall }, { code: /^E/, errno: Number, syscall: /./ }, name);
        }
      }
    }
  }
});

t.test('classes need new, their own kind of this, and valid arguments', async (t) => {
  const eventfd = binding.eventfdCreate();
  const mapping = binding.mapAnonymous(4096, false);
  const words = new Int32Array(mapping.buffer);
  const options = { words, armed: words.subarray(64), eventfd, spinNs: 0, pollMs: 1, onWork() {} };
  const made: Record<string, unknown> = {
    FdWatch: new binding.FdWatch(eventfd, () => {}),
    InterruptThread: new binding.InterruptThread([eventfd], () => {}),
    LoopWaiter: new binding.LoopWaiter(options),
    Mapping: mapping,
  };
  const strangers = [
    ...Object.values(made),
    {},
    [],
    null,
    undefined,
    1,
    'x',
    Object.create(mapping),
    new Proxy(mapping, {}),
  ];
  for (const [name, object] of Object.entries(made)) {
    const prototype = Object.getPrototypeOf(object) as object;
    for (const [key, { value, get }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      if (key === 'constructor') continue;
      for (const stranger of strangers.filter((each) => each !== object)) {
        t.throws(() => (value ?? get).call(stranger, true, true), TypeError, `${name}.${key}`);
      }
    }
    t.throws(() => ((object as object).constructor as unknown as Callable)(eventfd, () => {}), TypeError);
  }
  const Mapping = mapping.constructor as unknown as Class;
  t.throws(() => new Mapping(), TypeError, 'a Mapping cannot be made');
  for (const name of ['FdWatch', 'InterruptThread', 'LoopWaiter']) {
    for (const first of values) {
      for (const second of values) {
        const vectorless = name === 'InterruptThread' && Array.isArray(first) && first.length === 0;
        if (vectorless && typeof second === 'function') continue;
        t.throws(() => new classes[name]!(first, second), Error);
      }
    }
  }
  for (const [key, value] of Object.entries(options)) {
    for (const wrong of values) {
      if (wrong === 1_000_000 && (key === 'spinNs' || key === 'pollMs')) continue;
      if (wrong === 2 ** 31 && key === 'spinNs') continue;
      if (key === 'eventfd' && wrong === -1) continue;
      if (key === 'onWork' && typeof wrong === 'function') continue;
      t.throws(() => new classes.LoopWaiter!({ ...options, [key]: wrong }), Error, `${key} ${typeof value}`);
    }
  }
  t.throws(() => new binding.LoopWaiter({ ...options, eventfd: -1, pollMs: 0 }), RangeError);
  const watch = made.FdWatch as unknown as Record<string, Callable>;
  t.throws(() => watch.start?.(1, 2), TypeError);
  for (const object of Object.values(made)) (object as { close(): void }).close();
  closeSync(eventfd);
});

t.test('options whose getters detach what was read before', async (t) => {
  const eventfd = binding.eventfdCreate();
  const mapping = binding.mapAnonymous(4096, false);
  const words = new Int32Array(mapping.buffer);
  const options = {
    words,
    armed: words,
    eventfd,
    spinNs: 0,
    get pollMs() {
      mapping.close();
      return 1;
    },
    onWork() {},
  };
  t.throws(() => new binding.LoopWaiter(options), RangeError);
  closeSync(eventfd);
});
