import { realpathSync } from 'node:fs';
import { type Command, Option } from 'commander';
import type { WantedDriver } from '../setup/choose-driver.ts';
import type { Persistence } from '../setup/persist.ts';
import { type Connect, live } from './machine.ts';
import { printJson, printLine } from './print.ts';

interface Flags {
  readonly driver: WantedDriver;
  readonly user?: string;
  readonly all?: boolean;
  readonly force?: boolean;
  readonly iommu: boolean;
  readonly persist?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** `connect`: the machine to work on; tests put a fake one here. */
export function register(program: Command, connect: Connect = live): void {
  program
    .command('bind')
    .description(
      'give ivshmem devices of this VM to vfio-pci or uio_pci_generic (root; repeatable, see unbind)',
    )
    .argument('[device...]', 'PCI addresses or region names (default: the only device)')
    .addOption(
      new Option('--driver <driver>', 'which driver')
        .choices(['auto', 'vfio-pci', 'uio_pci_generic'])
        .default('auto'),
    )
    .option('--user <name>', 'let this user open the device')
    .option('--all', 'bind every ivshmem device')
    .option('--force', "take the device from someone else's driver")
    .option('--no-iommu', 'allow VFIO without an IOMMU (taints the kernel)')
    .option('--persist', 'bind again at every boot (systemd unit)')
    .option('--dry-run', 'only say what would be done')
    .option('--json', 'print the result as JSON')
    .action((selectors: string[], flags: Flags) => run(connect, selectors, flags));
}

async function run(connect: Connect, selectors: string[], flags: Flags): Promise<void> {
  const { selectDevices } = await import('../setup/select.ts');
  const { bindDevices } = await import('../setup/bind.ts');
  const { persist, planPersist } = await import('../setup/persist.ts');
  const { noticeReboot } = await import('../setup/reboot-notice.ts');
  const system = await connect();
  const devices = await selectDevices(system, selectors, flags.all);
  let planned: string[] = [];
  // Before a driver has the device: whoever joins after that is another life.
  const notices = new Map<string, string>();
  for (const device of flags.dryRun || system.uid !== 0 ? [] : devices) {
    const notice = await noticeReboot(device);
    if (notice !== undefined) notices.set(device.address.toString(), notice);
  }
  const bound = bindDevices(system, devices, {
    driver: flags.driver,
    user: flags.user,
    force: flags.force ?? false,
    allowNoIommu: !flags.iommu,
    dryRun: flags.dryRun ?? false,
    finish: (done) => {
      if (!flags.persist) return;
      const wanted = persistences(selectors, flags, done[0]!.driver);
      planned = planPersist(system, wanted);
      if (!flags.dryRun) persist(system, wanted);
    },
  });
  const results = bound.map((result) => {
    const notice = notices.get(result.address);
    return notice === undefined ? result : { ...result, notes: [notice, ...result.notes] };
  });
  if (flags.json) {
    printJson({ devices: results, persist: planned });
    return;
  }
  const would = flags.dryRun ? 'would ' : '';
  for (const { address, driver, steps, nodes, notes } of results) {
    for (const step of steps) printLine(`${address}: ${would}${step}`);
    for (const note of notes) printLine(`${address}: note: ${note}`);
    if (!flags.dryRun) {
      const ready = steps.length === 0 ? 'is already bound' : 'is bound';
      printLine(`${address} ${ready} to ${driver}: ${nodes.join(' ')}`);
    }
  }
  for (const step of planned) printLine(`${would}${step}`);
}

/** One unit per selector, repeating the options given. The driver is repeated as asked: at boot 'auto' chooses anew. */
function persistences(selectors: readonly string[], flags: Flags, module: string): Persistence[] {
  const options = ['--driver', flags.driver];
  if (flags.user !== undefined) options.push('--user', flags.user);
  if (flags.all) options.push('--all');
  if (flags.force) options.push('--force');
  if (!flags.iommu) options.push('--no-iommu');
  const program = [process.execPath, ...process.execArgv, realpathSync(process.argv[1]!)];
  const targets = selectors.length === 0 ? [undefined] : selectors;
  return targets.map((selector) => ({ program, selector, options, module }));
}
