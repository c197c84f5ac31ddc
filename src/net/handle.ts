import type { Link } from './link.ts';

/** What is used of a TCP handle of node:net. */
export interface Handle {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  onread: unknown;
  close(callback: () => void): void;
  reset(callback: () => void): number;
}

export type Callback = (error?: Error | null) => void;

/** What node:net's own _destroy closes in place of the handle. */
export function closingHandle(link: Link, error: Error | null, reset: boolean): Handle {
  const { inbound, outbound } = link.session;
  const { tcpSocket } = link;
  return {
    bytesRead: inbound.received,
    bytesWritten: outbound.written,
    onread: null,
    close(callback) {
      if (error === null && !reset && link.linger()) {
        setImmediate(callback);
        return;
      }
      // After the error, as with a handle.
      link.closeThen(callback);
      tcpSocket.destroy();
    },
    reset(callback) {
      link.closeThen(callback);
      link.resetTcp();
      return 0;
    },
  };
}
