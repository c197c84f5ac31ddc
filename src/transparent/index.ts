/** `node --import ivshmem/transparent app.js`: sockets of node:net take part in a region. docs/transparent.md tells how. */
import { install } from './install.ts';

export { counters, type NetCounters } from '../net/counters.ts';
export type { Reason } from '../net/reasons.ts';
export { type Path, pathOf } from './path-of.ts';

try {
  install();
} catch (error) {
  // A program that would run without this runs with it.
  process.emitWarning(error as Error);
}
