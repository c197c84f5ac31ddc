/** Calls for each one, whatever the calls before it threw; the first exception leaves when everyone was served. */
export function forEveryone<T>(all: Iterable<T>, call: (one: T) => void): void {
  const faults: unknown[] = [];
  for (const one of [...all]) {
    try {
      call(one);
    } catch (error) {
      faults.push(error);
    }
  }
  if (faults.length > 0) throw faults[0];
}
