import type { Channel, Listener, Message, Region } from '../../../src/index.ts';
import { die, SENT, Victim } from '../../support/held-victim.ts';
import { say } from './services.ts';

type Done = (result: object) => void;

const KEPT_BYTES = 1000;

/** What talk.ts is told about deaths: of a member that dies holding something, and of those who stay. */
export class Held {
  readonly #region: Region;
  readonly #victim: Victim;
  #release = (): void => {};
  #loan: { listener: Listener; channel: Channel; message: Message } | null = null;

  constructor(region: Region) {
    this.#region = region;
    this.#victim = new Victim(region, 'echo');
  }

  /** False when the verb is none of these. */
  async obey(verb: string, words: readonly string[], done: Done): Promise<boolean> {
    const [first = ''] = words;
    if (verb === 'die') await this.#die(words, done);
    else if (verb === 'release') this.#release();
    else if (verb === 'fill') await this.#fill(first, done);
    else if (verb === 'borrow') await this.#borrow(done);
    else if (verb === 'intact') done(this.#intact());
    else return false;
    return true;
  }

  /** Answers `done` when it holds what the scene is about, or is about to; dies then, or after `release`. */
  async #die([scene = '', ...words]: readonly string[], done: Done): Promise<void> {
    const victim = this.#victim;
    const released = new Promise<void>((resolve) => {
      this.#release = resolve;
    });
    if (scene === 'messages') {
      for (const peer of words) await victim.reserve(peer);
      await victim.send(words.at(-1)!, 'borrow');
      await victim.keep('keep', words.length, () => say({ keeping: true }));
      done({});
      await released;
      for (const peer of words) await victim.sendParts(peer);
      victim.writeRequest(false);
      // As much as fits of the messages in parts is on its way.
      await new Promise(setImmediate);
    } else if (scene === 'armed') {
      const [slot, channel, ...peers] = words;
      victim.markWithoutSummary(Number(slot), Number(channel));
      done({});
      for (const peer of peers) await victim.takeArmedOf(peer);
    } else if (scene === 'armed-server') {
      done({});
      victim.writeRequest(true);
      await victim.takeArmedOfServer();
    } else if (scene === 'memory' || scene === 'numbers') {
      if (scene === 'memory') await victim.takeMemory(words[0]!);
      else await victim.takeNumbers(words[0]!);
      done({});
      await released;
    } else throw new Error(`no scene ${scene}`);
    die();
  }

  /** Sends to who keeps the first message until there is no room for more; then waits for room, and tells what came of it. */
  async #fill(peer: string, done: Done): Promise<void> {
    const channel = await this.#region.connect('keep', { peer, queueSize: 8, dataBytes: 4096 });
    let sent = 0;
    while (channel.send(new Uint8Array(KEPT_BYTES))) sent++;
    done({ sent });
    const written = await channel.write(new Uint8Array(KEPT_BYTES));
    say({ filled: peer, written, end: channel.end });
    channel.close();
  }

  /** Takes the next message to `borrow`, and keeps it. */
  async #borrow(done: Done): Promise<void> {
    const listener = await this.#region.listen('borrow');
    done({});
    const channel = (await listener.accept())!;
    this.#loan = { listener, channel, message: (await channel.next())! };
    say({ borrowed: channel.peer });
  }

  /** Whether that message is still what was sent. Gives it back. */
  #intact(): object {
    const { listener, channel, message } = this.#loan!;
    const { end } = channel;
    const whole = Buffer.from(message.bytes).equals(SENT);
    channel.release(message);
    channel.close();
    listener.close();
    return { whole, end };
  }
}
