import { setTimeout as delay } from 'node:timers/promises';
import { isIvshmemError } from '../../errors/index.ts';
import { ControlClient } from '../../host/control/control-client.ts';
import type { MembersReport, RegionSample, SpacesReport } from '../../observe/sample.ts';
import type { Source, Update } from './source.ts';

/** How long a server may take to be replaced by the next. */
const AGAIN_FOR_MS = 5000;
const AGAIN_EVERY_MS = 100;

/** A region through its server's control socket. Goes on with the next server when one is replaced by another. */
export class ServerSource implements Source {
  readonly note = null;
  readonly #path: string;
  /** Answers, and events: two, for one of them is always under way. */
  #asking: ControlClient;
  #watching: ControlClient | null = null;
  #closed = false;

  private constructor(path: string, client: ControlClient) {
    this.#path = path;
    this.#asking = client;
  }

  /** Throws ERR_IVSHMEM_CONTROL_CONNECT. */
  static async connect(path: string): Promise<ServerSource> {
    return new ServerSource(path, await ControlClient.connect(path));
  }

  async members(): Promise<MembersReport> {
    const { region, view, members } = await this.#again(() => this.#asking.ask({ op: 'members' }));
    return { region, view, members };
  }

  async sample(): Promise<RegionSample> {
    return (await this.#again(() => this.#asking.ask({ op: 'sample' }))).sample;
  }

  async spaces(): Promise<SpacesReport> {
    const { region, spaces, hosts } = await this.#again(() => this.#asking.ask({ op: 'spaces' }));
    return hosts === undefined ? { region, spaces } : { region, spaces, hosts };
  }

  async *updates(): AsyncGenerator<Update, void> {
    while (!this.#closed) {
      const client = await this.#connect();
      if (client === null) return;
      this.#watching = client;
      const answer = await client.ask({ op: 'watch' }).catch((error: unknown) => {
        if (!this.#closed) throw error;
        return null;
      });
      if (answer === null) return;
      const { region, view, members } = answer;
      yield { event: 'members', region, view, members };
      yield* client.events();
    }
  }

  close(): void {
    this.#closed = true;
    this.#asking.close();
    this.#watching?.close();
  }

  /** Once more with the next server, when this one ended in the middle. */
  async #again<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      if (this.#closed || !isIvshmemError(error, 'ERR_IVSHMEM_CONTROL_ANSWER')) throw error;
      const client = await this.#connect();
      if (client === null) throw error;
      this.#asking.close();
      this.#asking = client;
      return ask();
    }
  }

  /** Null once this source is closed. */
  async #connect(): Promise<ControlClient | null> {
    const deadline = Date.now() + AGAIN_FOR_MS;
    while (!this.#closed) {
      try {
        return await ControlClient.connect(this.#path);
      } catch (error) {
        if (Date.now() > deadline) throw error;
      }
      await delay(AGAIN_EVERY_MS);
    }
    return null;
  }
}
