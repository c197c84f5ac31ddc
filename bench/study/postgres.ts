import type { Guests } from '../sockets-vm/guests.ts';
import { Tunnel } from '../sockets-vm/tunnel.ts';

const BIN = '$(echo /usr/lib/postgresql/*/bin)';
/** Making a cluster takes an emulated processor minutes. */
const LIMIT_MS = 600_000;

/** A PostgreSQL server in the answering guest, and pgbench in the measuring one. */
export class Postgres {
  readonly #guests: Guests;
  #started: Promise<void> | undefined;

  constructor(guests: Guests) {
    this.#guests = guests;
  }

  /** Transactions a second of one client that only reads, for about `ms`. @throws Error with what was said instead. */
  async transactions(path: 'tun' | 'virtio-net', ms: number): Promise<number> {
    if (path === 'tun') await Tunnel.start(this.#guests);
    this.#started ??= this.#start();
    await this.#started;
    const { tun, wire } = this.#guests.addresses;
    const seconds = Math.max(2, Math.round(ms / 1000));
    const words = `${BIN}/pgbench -h ${path === 'tun' ? tun : wire} -U app -n -S -T ${seconds} postgres`;
    const said = await this.#guests.measuring.check(words, { timeout: LIMIT_MS });
    const rate = Number(/^tps = ([\d.]+)/m.exec(said)?.[1]);
    if (!(rate > 0)) throw new Error(`pgbench said: ${said.trim().split('\n').at(-1)}`);
    return rate;
  }

  async #start(): Promise<void> {
    const { answering } = this.#guests;
    const as = { user: 'app', timeout: LIMIT_MS };
    const make = `${BIN}/initdb -D /tmp/cluster --no-locale --encoding=UTF8 --auth=trust --no-sync`;
    await answering.check(`${make} && echo 'host all all 0.0.0.0/0 trust' >>/tmp/cluster/pg_hba.conf`, as);
    const options = '-c listen_addresses=0.0.0.0 -c unix_socket_directories=/tmp';
    const server = answering.spawn(`exec ${BIN}/postgres -D /tmp/cluster ${options} 2>&1`, { user: 'app' });
    await server.waitFor(/ready to accept connections/, LIMIT_MS);
    await answering.check(`${BIN}/pgbench -h /tmp -i -q -s 1 postgres`, as);
  }
}
