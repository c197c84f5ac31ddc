import type { Channel } from '../../src/index.ts';

const [ASK, RELEASE] = [1, 2] as const;

function send(channel: Channel, value: number): void {
  // At most two messages are under way in one direction, so there is always room.
  const room = channel.reserve(4);
  if (room === null) throw new Error(`no room (channel end: ${channel.end ?? 'none'})`);
  channel.outgoing.words[room.offset >> 2] = value;
  channel.commit();
}

async function next(channel: Channel): Promise<number> {
  const message = channel.receive() ?? (await channel.next());
  if (message === null) throw new Error(`the channel ended: ${channel.end}`);
  const value = channel.incoming.words[message.offset >> 2]!;
  channel.release(message);
  return value;
}

/** A lock of two members that one of them keeps, as programs do that have messages only. First come, first served. */
export class LockDesk {
  readonly #channel: Channel;
  /** The other has asked. */
  #asked = false;
  #grants = 0;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** For the member that keeps it. Who asked before goes first. */
  async lock(): Promise<void> {
    this.#look();
    if (this.#asked) {
      this.#asked = false;
      send(this.#channel, ++this.#grants);
      if ((await next(this.#channel)) !== RELEASE) throw new Error('no release');
    }
    this.#grants++;
  }

  /** Whoever asked meanwhile is next: lock() looks, too, for this member has no other turn. */
  unlock(): void {
    this.#look();
  }

  #look(): void {
    const message = this.#asked ? null : this.#channel.receive();
    if (message === null) return;
    this.#asked = this.#channel.incoming.words[message.offset >> 2] === ASK;
    if (!this.#asked) throw new Error('a message comes amiss');
    this.#channel.release(message);
  }
}

/** The other member. */
export class LockGuest {
  readonly #channel: Channel;
  /** How often anybody has had it, as of this member's last time. */
  total = 0;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  async lock(): Promise<void> {
    send(this.#channel, ASK);
    this.total = await next(this.#channel);
  }

  unlock(): void {
    send(this.#channel, RELEASE);
  }
}
