import { closeSync, fstatSync } from 'node:fs';
import { IvshmemError } from '../errors/index.ts';
import { PeerTable } from './peer-table.ts';

/** Refusals of `ivshmem server`: versions that no protocol has (src/host/sockets/handshake.ts; a test holds the two together). */
export const REFUSALS: Readonly<Record<number, { why: string; hint: string }>> = {
  1001: {
    why: 'this user or process is not on the admission list',
    hint: "Add its uid, gid or pid to the region's `admit` list.",
  },
  1002: { why: 'every slot is taken', hint: "Raise the region's `slots`, or end a member." },
  1003: {
    why: 'this process may not have enough file descriptors',
    hint: 'Raise its limit (`ulimit -n`, `LimitNOFILE=`).',
  },
};

const MAX_PEER = 65535;
/** QEMU's own bound is its `vectors` property; no server has more than the doorbell's slow path can say. */
const MAX_VECTORS = 256;

interface Message {
  readonly value: number;
  readonly fd: number;
}

/**
 * The client's side of the handshake (ivshmem spec, "Client-Server protocol"), as a state machine over messages. It also
 * takes what other servers send later: peers that come and go.
 */
export class HostHandshake {
  readonly peers = new PeerTable();
  readonly #on: string;
  #expecting: 'version' | 'id' | 'memory' | 'peers' = 'version';
  #ivPosition = -1;
  #memoryFd = -1;
  #memoryBytes = 0;

  constructor(on: string) {
    this.#on = on;
  }

  get ivPosition(): number {
    return this.#ivPosition;
  }

  /** Owned by this object until taken. */
  takeMemoryFd(): { fd: number; bytes: number } {
    const fd = this.#memoryFd;
    this.#memoryFd = -1;
    return { fd, bytes: this.#memoryBytes };
  }

  /** Whether the memory is there: from now on only eventfds come. */
  get hasMemory(): boolean {
    return this.#expecting === 'peers';
  }

  /** How many of our own eventfds came. They are the last of the handshake, but nothing says how many there will be. */
  get ownVectors(): number {
    return this.peers.of(this.#ivPosition).length;
  }

  /** Takes one message and its descriptor. Throws ERR_IVSHMEM_HOST_REFUSED, _VERSION or _PROTOCOL. */
  take(message: Message): void {
    try {
      this.#take(message);
    } catch (error) {
      if (message.fd >= 0) closeSync(message.fd);
      throw error;
    }
  }

  close(): void {
    this.peers.close();
    if (this.#memoryFd >= 0) closeSync(this.#memoryFd);
    this.#memoryFd = -1;
  }

  #take({ value, fd }: Message): void {
    switch (this.#expecting) {
      case 'version':
        if (fd >= 0) throw this.#protocol('a descriptor came with the version');
        this.#checkVersion(value);
        this.#expecting = 'id';
        return;
      case 'id':
        if (fd >= 0 || value < 0 || value > MAX_PEER) throw this.#protocol(`the ID sent is ${value}`);
        this.#ivPosition = value;
        this.#expecting = 'memory';
        return;
      case 'memory':
        if (value !== -1 || fd < 0) throw this.#protocol(`message ${value} came where the memory was due`);
        this.#memoryBytes = fstatSync(fd).size;
        this.#memoryFd = fd;
        this.#expecting = 'peers';
        return;
      case 'peers':
        this.#takePeer(value, fd);
    }
  }

  #takePeer(value: number, fd: number): void {
    if (value < 0 || value > MAX_PEER) throw this.#protocol(`peer ${value} was announced`);
    if (fd >= 0) this.peers.add(value, fd, MAX_VECTORS);
    else if (value !== this.#ivPosition) this.peers.remove(value);
  }

  #checkVersion(value: number): void {
    const on = this.#on;
    if (value === 0) return;
    const refusal = REFUSALS[value];
    if (refusal !== undefined) throw new IvshmemError('ERR_IVSHMEM_HOST_REFUSED', { on, ...refusal });
    if (value > 0 && value < 1000) throw new IvshmemError('ERR_IVSHMEM_HOST_VERSION', { on, found: value });
    throw this.#protocol(`its first message is ${value}`);
  }

  #protocol(why: string): IvshmemError {
    return new IvshmemError('ERR_IVSHMEM_HOST_PROTOCOL', { on: this.#on, why });
  }
}
