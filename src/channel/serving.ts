import type { ChannelEnd } from './channel-end.ts';
import type { ChannelHost } from './channel-host.ts';
import type { Message } from './message.ts';
import type { Receiver } from './receiver.ts';

/** Messages one channel may handle in a row before the others get their turn. */
export const SERVED_IN_A_ROW = 64;

/** What serving needs of its channel. */
export interface Served {
  readonly end: ChannelEnd | null;
  release(message: Message): void;
  serve(handler: null): void;
}

/** One handler of a channel, from when it is set until it is taken away. */
export class Serving {
  readonly #handler: (message: Message) => void;
  readonly #settled: (() => void) | undefined;
  readonly #channel: Served;
  readonly #receiver: Receiver;
  readonly #host: ChannelHost;
  #stopped = false;

  /** Asks to hear of messages, and for a first look: some may be there already. */
  constructor(
    handler: (message: Message) => void,
    settled: (() => void) | undefined,
    channel: Served,
    receiver: Receiver,
    host: ChannelHost,
  ) {
    this.#handler = handler;
    this.#settled = settled;
    this.#channel = channel;
    this.#receiver = receiver;
    this.#host = host;
    host.waiting(1);
    receiver.enableNotifications();
    host.postSelf();
  }

  /** The handler is not called any more. Call once. */
  stop(): void {
    this.#stopped = true;
    this.#host.waiting(-1);
  }

  /**
   * Hands over what is there, at most SERVED_IN_A_ROW messages, and asks to be called again if that may not be all. An
   * exception of the handler comes out as a HandlerFault, anything else is of the ring.
   */
  burst(): void {
    let more = true;
    let handed = false;
    try {
      for (let n = 0; n < SERVED_IN_A_ROW && !this.#stopped; n++) {
        const message = this.#receiver.receive();
        if (message !== null) {
          handed = true;
          this.#handOver(message);
        } else if (!this.#receiver.hasMessage()) {
          more = false;
          this.#receiver.flush();
          // Nothing will come any more: do not keep the process alive for it.
          if (this.#channel.end !== null) this.#channel.serve(null);
          return;
        }
      }
    } catch (error) {
      // Behind a broken ring there is nothing; behind a message the handler choked on there may be more.
      more = more && error instanceof HandlerFault;
      throw error;
    } finally {
      try {
        if (handed) this.#settle();
      } finally {
        if (more && !this.#stopped) this.#host.postSelf();
      }
    }
  }

  #settle(): void {
    try {
      this.#settled?.();
    } catch (cause) {
      throw new HandlerFault(cause);
    }
  }

  #handOver(message: Message): void {
    const handler = this.#handler;
    try {
      handler(message);
    } catch (cause) {
      throw new HandlerFault(cause);
    } finally {
      if (message.lent) this.#channel.release(message);
    }
  }
}

/** Tells an exception of the handler from one of the ring. */
export class HandlerFault extends Error {
  constructor(cause: unknown) {
    super('the handler threw', { cause });
  }
}
