import { createInterface } from 'node:readline';
import { isIvshmemError, type Region } from '../../../src/index.ts';
import { Held } from './held.ts';
import { ask, hold, pour, say, serve } from './services.ts';
import { burst, Watch } from './watch.ts';

/** Exit statuses of a program that an error of the catalogue ended, and of one that anything else did. */
const CATALOGUED = 3;
const UNEXPECTED = 70;

/** Whatever ends the program is told first, so that a test can tell a catalogued error from a defect. */
export function reportEnd(): void {
  const end = (error: unknown): void => {
    if (isIvshmemError(error)) say({ fault: error.code, message: error.message });
    else say({ defect: error instanceof Error ? error.stack : String(error) });
    process.exit(isIvshmemError(error) ? CATALOGUED : UNEXPECTED);
  };
  process.on('uncaughtException', end);
}

/**
 * Serves, and takes orders on stdin, any number at once: `N ask PEER COUNT`, `N pour PEER MIB BLOCK`, `N hold PEER`,
 * `N burst PEER COUNT`, `N ping`, `N watch`, `N members`, `N suspect MS`, `N describe LABEL VALUE`, `N close`, `N exit`. Each is
 * answered by one line {"order":N,...}; `hold` by one after the first round trip; then {"holding":PEER,...} comes every 20, and
 * {"held":PEER,...} when the channel has ended; `burst` when all is sent, then {"burst":PEER,...} when all was answered. After
 * `watch` each membership event is a line {"event":TYPE,...}. `exit` ends the process with everything open. What is about dying in
 * the middle of something is in held.ts: `N die SCENE ...`, `N release`, `N fill PEER`, `N borrow`, `N intact`.
 */
export function talk(region: Region): void {
  region.onRemoved(() => {
    say({ removed: true });
    process.stdin.destroy();
  });
  void serve(region);
  const services = { watch: new Watch(region), held: new Held(region) };
  createInterface({ input: process.stdin }).on('line', (line) => {
    const [order, ...words] = line.split(' ');
    void obey(region, services, Number(order), words);
  });
}

async function obey(
  region: Region,
  { watch, held }: { watch: Watch; held: Held },
  order: number,
  [verb = '', peer = '', ...rest]: string[],
): Promise<void> {
  const [first = 0, second = 0] = rest.map(Number);
  const done = (result: object): void => say({ order, ...result });
  try {
    if (verb === 'ask') done(await ask(region, peer, first));
    else if (verb === 'pour') done(await pour(region, peer, first, second));
    else if (verb === 'hold') say({ held: peer, ...(await hold(region, peer, () => done({}))) });
    else if (verb === 'burst') {
      const result = await burst(region, peer, first, () => done({ sent: first }));
      say({ burst: peer, ...result });
    } else if (verb === 'ping') done({});
    else if (verb === 'watch') done(await watch.watch());
    else if (verb === 'members') done(watch.members());
    else if (verb === 'suspect') done(await watch.suspect(Number(peer)));
    else if (verb === 'describe') done(await watch.describe(peer, rest[0]!));
    else if (verb === 'exit') {
      done({});
      process.exit(0);
    } else if (verb === 'close') {
      await region.close();
      process.stdin.destroy();
      done({});
    } else if (!(await held.obey(verb, [peer, ...rest], done))) throw new Error(`no order ${verb}`);
  } catch (error) {
    done({ failed: (error as Error).message, code: isIvshmemError(error) ? error.code : null });
  }
}
