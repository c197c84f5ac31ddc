import { existsSync, watch } from 'node:fs';

/** How often to look where the node cannot be watched, milliseconds. */
const LOOK_EVERY_MS = 1000;

/**
 * Calls back once when a UIO device goes away. UIO has no request interrupt, and without an interrupt line poll(2) on
 * /dev/uioN only reports an error, so the node itself is watched: the kernel unlinks it when the driver lets go of
 * the device, which is the first step of an unplug and comes before the BARs of sysfs vanish. inotify tells (IN_ATTRIB of
 * the last link); nothing runs until then. Where the node cannot be watched (not readable by this user, inotify used up)
 * `present` is asked every second.
 *
 * A load or store between the kernel's unplug and the callback meets a mapping that the kernel has emptied, which the backend has
 * guarded: it finds zeros. VFIO asks first and waits; UIO cannot.
 *
 * Neither way keeps the process alive. Returns a function that stops watching, idempotent.
 */
export function watchRemoval(
  nodes: readonly string[],
  present: () => boolean,
  onGone: () => void,
): () => void {
  const stops: (() => void)[] = [];
  const stop = (): void => {
    for (const each of stops.splice(0)) each();
  };
  const look = (): void => {
    if (stops.length === 0 || (present() && nodes.every((node) => existsSync(node)))) return;
    stop();
    onGone();
  };
  const lookOften = (): void => {
    const timer = setInterval(look, LOOK_EVERY_MS).unref();
    stops.push(() => clearInterval(timer));
  };
  const [node] = nodes;
  if (node === undefined) {
    lookOften();
    return stop;
  }
  try {
    const watcher = watch(node, { persistent: false }, look);
    watcher.on('error', lookOften);
    stops.push(() => watcher.close());
  } catch {
    lookOften();
  }
  return stop;
}
