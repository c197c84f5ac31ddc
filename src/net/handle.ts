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
  const close = (callback: () => void): void => {
    link.close();
    // After the error, as with a handle.
    if (tcpSocket.closed) setImmediate(callback);
    else tcpSocket.once('close', callback);
  };
  return {
    bytesRead: inbound.received,
    bytesWritten: outbound.sent,
    onread: null,
    close(callback) {
      if (error === null && !reset && link.linger()) {
        setImmediate(callback);
        return;
      }
      close(callback);
      tcpSocket.destroy();
    },
    reset(callback) {
      close(callback);
      tcpSocket.resetAndDestroy();
      return 0;
    },
  };
}
