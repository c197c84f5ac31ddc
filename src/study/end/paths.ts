import type { EndOptions, Strategy } from './run-end.ts';

/** One way between two programs, and how they are started. */
export interface Path {
  /** What the samples call it. */
  readonly name: string;
  readonly way: EndOptions['way'];
  /** What node:net listens on. */
  readonly over?: 'unix' | 'tcp' | 'tun';
  /** How the region waits; `adaptive` unless said otherwise. */
  readonly wait?: Strategy;
  /** Streams: the kernel reads into one buffer of the program. */
  readonly onread?: boolean;
  /** Both sides on one processor. */
  readonly together?: boolean;
  /** A doorbell for every commit, whether the other side asked for one or not. */
  readonly ringAlways?: boolean;
}

export const channel: Path = { name: 'channel', way: 'channel' };
export const sharedMemory: Path = { name: 'shared-memory', way: 'shared-memory' };
export const unix: Path = { name: 'unix', way: 'net', over: 'unix' };
/** The largest reads Node makes into memory of the program: what its UNIX sockets do best with large messages. */
export const unixOnread: Path = { ...unix, name: 'unix-onread', onread: true };
/** TCP_NODELAY, over the loopback interface. */
export const tcp: Path = { name: 'tcp', way: 'net', over: 'tcp' };

/** Between VMs: TCP_NODELAY, over what network there is between them. */
export const virtioNet: Path = { name: 'virtio-net', way: 'net', over: 'tcp' };

/** node:net over the TUN interface of `ivshmem tun`. */
export const tun: Path = { name: 'tun', way: 'net', over: 'tun' };

/** What the two processes of a path differ in, so that paths which differ in nothing else share them. */
export function processesOf({ way, over, wait, together, ringAlways }: Path): string {
  return [way, over ?? '', wait ?? '', together ? 'together' : '', ringAlways ? 'rings' : ''].join('/');
}

/** The words of `ivshmem study end`. */
export function endWords({ role, way, at, region, wait, addresses, ringAlways }: EndOptions): string[] {
  return [
    ...['--role', role, '--way', way, '--wait', wait],
    ...(at === '' ? [] : ['--at', at]),
    ...(region === '' ? [] : ['--region', region]),
    ...(addresses.length === 0 ? [] : ['--addresses', addresses.join(',')]),
    ...(ringAlways === true ? ['--ring-always'] : []),
  ];
}
