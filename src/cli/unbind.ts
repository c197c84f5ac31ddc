import type { Command } from 'commander';
import { type Connect, live } from './machine.ts';
import { printJson, printLine } from './print.ts';

interface Flags {
  readonly all?: boolean;
  readonly force?: boolean;
  readonly persist?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** `connect`: the machine to work on; tests put a fake one here. */
export function register(program: Command, connect: Connect = live): void {
  program
    .command('unbind')
    .description('restore what bind found: driver, driver_override and owners (root; repeatable)')
    .argument('[device...]', 'PCI addresses or region names (default: the only bound device)')
    .option('--all', 'unbind every bound device')
    .option('--force', 'also when something else than `ivshmem bind` did the binding')
    .option('--persist', 'also stop binding at boot')
    .option('--dry-run', 'only say what would be done')
    .option('--json', 'print the result as JSON')
    .action((selectors: string[], flags: Flags) => run(connect, selectors, flags));
}

async function run(connect: Connect, selectors: string[], flags: Flags): Promise<void> {
  const { selectBound, unbindDevices } = await import('../setup/unbind.ts');
  const { persistedUnits, unpersist } = await import('../setup/persist.ts');
  const system = await connect();
  const devices = await selectBound(system, selectors, flags.all ?? false);
  const results = unbindDevices(system, devices, flags);
  const addresses = devices.map((device) => device.address.toString());
  const removed = flags.persist
    ? unpersist(system, selectors.length === 0 ? 'all' : [...selectors, ...addresses], flags.dryRun)
    : [];
  const units = flags.persist ? [] : persistedUnits(system);
  if (flags.json) {
    printJson({ devices: results, persist: removed, units });
    return;
  }
  const would = flags.dryRun ? 'would ' : '';
  for (const { address, steps, driver } of results) {
    for (const step of steps) printLine(`${address}: ${would}${step}`);
    if (!flags.dryRun)
      printLine(`${address} ${driver === null ? 'has no driver' : `is back with ${driver}`}`);
  }
  if (results.length === 0) printLine('nothing is bound');
  for (const step of removed) printLine(`${would}${step}`);
  if (units.length > 0) {
    printLine(`note: ${units.join(', ')} will bind again at the next boot; remove with --persist`);
  }
}
