import { setTimeout as delay } from 'node:timers/promises';
import type { Channel, Region } from '../../src/index.ts';
import { open } from '../../src/index.ts';

/** A member that sends back what it gets, on every channel of the service "echo". */
export async function echoMember(socket: string, name: string): Promise<Region> {
  const region = await open({ socket, name });
  const listener = await region.listen(`echo-${name}`);
  void (async () => {
    for await (const channel of listener) void echo(channel);
  })();
  return region;
}

async function echo(channel: Channel): Promise<void> {
  for await (const message of channel) {
    if (!(await channel.write(message.copy()))) break;
  }
  await channel.close();
}

/** Sends a number and takes the answer. Throws when it is another one, or the channel has ended. */
export async function ask(channel: Channel, number: number): Promise<void> {
  const request = Buffer.alloc(8);
  request.writeDoubleLE(number);
  if (!(await channel.write(request))) throw new Error(`the channel ended before request ${number}`);
  const answer = await channel.next();
  if (answer === null) throw new Error(`the channel ended before answer ${number}`);
  const found = Buffer.from(answer.copy()).readDoubleLE();
  channel.release(answer);
  if (found !== number) throw new Error(`answer ${found} to request ${number}`);
}

/** Asks again and again until stopped. */
export class Asking {
  answers = 0;
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(channel: Channel) {
    this.#done = this.#run(channel);
    // Told by stop().
    this.#done.catch(() => {});
  }

  /** Throws when a message was lost. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #run(channel: Channel): Promise<void> {
    while (!this.#stopped) {
      await ask(channel, this.answers);
      this.answers++;
      await delay(1);
    }
  }
}
