import type { GuestProcess } from '../../qemu/guest-process.ts';
import { guestProgram } from '../../qemu/product.ts';
import type { Vm } from '../../qemu/vm.ts';
import type { Taken } from '../sockets/commands.ts';
import type { Pairs } from '../sockets/schedule.ts';
import { firstLine, GuestPair } from './guest-pair.ts';
import type { Guests } from './guests.ts';
import { type IperfCommand, iperf } from './iperf.ts';
import { Tunnel } from './tunnel.ts';

type Asked = { ask(command: object): Promise<Taken> };

const ports = { net: 7001, ours: 7002, http: 7003, httpOurs: 7004, redis: 6379, iperf: 5201 };
/**
 * What a pair is taught before its first sample. On an emulated processor a round trip of programs that V8 has not compiled yet takes
 * milliseconds, whoever carries it, and it takes some ten thousand until it has.
 */
const lesson = { ms: 500, warmUpMs: 10_000 };
/** An HTTP server and client are ten times the code. */
const httpLesson = { ...lesson, op: 'load', warmUpMs: 60_000 };
const streamLesson = { ...lesson, op: 'stream', onread: false, bytes: 1024, leastBytes: 65_536 };

/**
 * The pairs of the whole run: what answers in one guest, started when first asked for, and what measures in the other. The
 * names say which program, and which way it goes: `net`, `tun` (node:net over the TUN interface), `ours`, `http-net`, `http-ours`,
 * `redis-net`, `redis-tun`, `iperf-net`, `iperf-tun`.
 */
export class VmPairs implements Pairs {
  readonly #guests: Guests;
  readonly #pairs = new Map<string, Promise<Asked>>();
  readonly #servers = new Map<string, Promise<unknown>>();

  constructor(guests: Guests) {
    this.#guests = guests;
  }

  get pids(): readonly number[] {
    return this.#guests.pids;
  }

  /** @throws Error when it cannot be: the same at every call. */
  get(name: string): Promise<Asked> {
    return this.#once(this.#pairs, name, () => this.#start(name));
  }

  /** A sample that failed leaves its programs as they are: what cannot be says so again, and a crash is heard of at once. */
  async drop(): Promise<void> {}

  async #start(name: string): Promise<Asked> {
    const { wire, tun } = this.#guests.addresses;
    const [what, way] = name.split('-');
    const overTun = name === 'tun' || way === 'tun';
    if (overTun) await this.#once(this.#servers, 'tun', () => Tunnel.start(this.#guests));
    const address = overTun ? tun : wire;
    if (what === 'iperf') {
      await this.#server('iperf', `iperf3 --server --forceflush --port ${ports.iperf}`, /listening/i);
      const vm = this.#guests.measuring;
      return { ask: (command) => iperf(vm, address, ports.iperf, command as IperfCommand) };
    }
    if (what === 'redis') {
      const words = `redis-server --port ${ports.redis} --bind 0.0.0.0 --protected-mode no --save "" --appendonly no`;
      await this.#server('redis', words, /ready to accept connections/i);
      return this.#measure('redis', ['--at', `${address}:${ports.redis}`]);
    }
    if (what === 'http') return this.#http(way === 'ours', address);
    const module =
      name === 'ours' ? ['--module', 'ivshmem/net', '--region', this.#guests.device('sockets')] : [];
    const port = name === 'ours' ? ports.ours : ports.net;
    await this.#answer(name === 'ours' ? name : 'net', [
      'end',
      'answer',
      ...module,
      '--at',
      `0.0.0.0:${port}`,
    ]);
    const pair = await this.#measure('end', ['measure', ...module, '--at', `${address}:${port}`]);
    for (const order of ['rtt', 'feed']) await pair.ask({ ...streamLesson, what: order });
    return pair;
  }

  /** Without and with the transparent mode: the same two programs. */
  async #http(ours: boolean, address: string): Promise<Asked> {
    const port = ours ? ports.httpOurs : ports.http;
    const env: Record<string, string> = ours ? { IVSHMEM_DEVICE: this.#guests.device('http') } : {};
    const preload = ours ? ['--import', guestProgram('transparent')[1]!] : [];
    const path = ours ? ['--path', 'shared-memory'] : [];
    const program = (role: string, at: string): string[] => {
      const [node, file, ...words] = guestProgram('http', role, ...path, '--at', `${at}:${port}`);
      return [node!, ...preload, file!, ...words];
    };
    await this.#once(this.#servers, `http-${ours}`, () =>
      firstLine(this.#guests.answering.spawn(program('answer', '0.0.0.0'), { user: 'app', env })),
    );
    const pair = await GuestPair.start(
      this.#guests.measuring.spawn(program('measure', address), { user: 'app', env }),
    );
    await pair.ask(httpLesson);
    return pair;
  }

  /** A Node program of ours that answers; it says where when it listens. */
  #answer(name: string, [program, ...words]: readonly string[]): Promise<unknown> {
    return this.#once(this.#servers, name, () =>
      firstLine(this.#spawn(this.#guests.answering, guestProgram(program!, ...words))),
    );
  }

  async #measure(program: string, words: readonly string[]): Promise<GuestPair> {
    return GuestPair.start(this.#spawn(this.#guests.measuring, guestProgram(program, ...words)));
  }

  #spawn(vm: Vm, words: readonly string[]): GuestProcess {
    return vm.spawn(words, { user: 'app' });
  }

  /** A server that is no program of ours. @throws Error when it is not installed, or does not come up. */
  #server(name: string, words: string, up: RegExp): Promise<unknown> {
    return this.#once(this.#servers, name, async () => {
      const vm = this.#guests.answering;
      const { status } = await vm.run(`command -v ${words.split(' ', 1)[0]}`);
      if (status !== 0) throw new Error(`${words.split(' ', 1)[0]} is not in the guest`);
      await vm.spawn(`exec ${words}`).waitFor(up);
    });
  }

  #once<T>(map: Map<string, Promise<T>>, name: string, make: () => Promise<T>): Promise<T> {
    let made = map.get(name);
    if (made === undefined) {
      made = make();
      map.set(name, made);
    }
    return made;
  }
}
