/**
 * A bare ivshmem device in a guest: no channels, only memory, doorbells and removal. One JSON line on stdout per event.
 *   device answer BACKEND [ADDRESS]   answers each request in the last page until it is told to stop or unplugged
 * Words of the last page: 0 sequence number of the request (0xffffffff: stop), 1 who asks, 2 the answer: 3n + 1.
 */
import { isIvshmemError } from '../../../src/errors/index.ts';
import { type OpenDeviceOptions, openDevice } from '../../../src/ivshmem/open.ts';

const [, backend = 'auto', address] = process.argv.slice(2);
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
const VECTOR = 1;
const STOP = -1;

try {
  const kind = backend as NonNullable<OpenDeviceOptions['backend']>;
  const device = await openDevice(address === undefined ? { backend: kind } : { backend: kind, address });
  const words = new Int32Array(device.memory, device.memory.byteLength - 4096, 1024);
  let answered = Atomics.load(words, 0);
  // Something has to keep the process alive, as the device does not.
  const alive = setInterval(() => {}, 1000);
  let poll: NodeJS.Immediate | undefined;
  const end = (event: object): void => {
    say({ ...event, counts: device.interruptCounts(), spurious: device.spuriousWakeups() });
    clearInterval(alive);
    if (poll !== undefined) clearImmediate(poll);
    device.close();
    say({ closed: true, length: words.length });
  };
  const look = (): void => {
    const request = Atomics.load(words, 0);
    if (request === answered) return;
    answered = request;
    if (request === STOP) end({ stopped: true });
    else {
      Atomics.store(words, 2, 3 * request + 1);
      device.ring(Atomics.load(words, 1), VECTOR);
    }
  };
  device.onRemoved(() => {
    words[0] = 5;
    end({ removed: true, kept: words[0], zero: words[9] });
  });
  if (device.vectors > 0) device.onInterrupt(VECTOR, look);
  else {
    const again = (): void => {
      poll = setImmediate(again);
      look();
    };
    again();
  }
  say({
    ready: true,
    kind: device.kind,
    on: device.on,
    ivPosition: device.ivPosition,
    vectors: device.vectors,
    bytes: device.memory.byteLength,
  });
} catch (error) {
  if (!isIvshmemError(error)) throw error;
  say({ code: error.code, message: error.message, remedy: error.remedy });
  process.exitCode = 1;
}
