import { channel } from 'node:diagnostics_channel';

/** What is published on node:diagnostics_channel, each as `ivshmem:` and its name. Messages are plain objects (docs/api.md). */
export type DiagnosticName =
  | 'region.join'
  | 'region.leave'
  | 'channel.open'
  | 'channel.end'
  | 'member.join'
  | 'member.update'
  | 'member.suspect'
  | 'member.recovered'
  | 'member.leave';

/** The channels are kept: a channel that nobody holds is collected, and its name looked up at each use. */
const channels = new Map<DiagnosticName, ReturnType<typeof channel>>();

/** Publishes what `message` makes; it is called only when somebody subscribed. What subscribers throw, Node reports. */
export function publish(name: DiagnosticName, message: () => object): void {
  let to = channels.get(name);
  if (to === undefined) {
    to = channel(`ivshmem:${name}`);
    channels.set(name, to);
  }
  if (to.hasSubscribers) to.publish(message());
}
