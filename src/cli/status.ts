import type { Command } from 'commander';
import type { DeviceStatus } from '../setup/status.ts';
import { type Connect, live } from './machine.ts';
import { formatBytes, printJson, printLine } from './print.ts';

interface Flags {
  readonly json?: boolean;
}

/** `connect`: the machine to work on; tests put a fake one here. */
export function register(program: Command, connect: Connect = live): void {
  program
    .command('status')
    .description('show the ivshmem devices of this VM: driver, IOMMU group, region, who may open them')
    .argument('[device...]', 'PCI addresses or region names (default: all)')
    .option('--json', 'print as JSON')
    .action((selectors: string[], flags: Flags) => run(connect, selectors, flags));
}

async function run(connect: Connect, selectors: string[], flags: Flags): Promise<void> {
  const { ivshmemDevices, selectDevices } = await import('../setup/select.ts');
  const { deviceStatus } = await import('../setup/status.ts');
  const { persistedUnits } = await import('../setup/persist.ts');
  const system = await connect();
  const devices = selectors.length === 0 ? ivshmemDevices(system) : await selectDevices(system, selectors);
  const list: DeviceStatus[] = [];
  for (const device of devices) list.push(await deviceStatus(system, device));
  const units = persistedUnits(system);
  if (flags.json) {
    printJson({ devices: list, units });
    return;
  }
  if (list.length === 0) printLine('no ivshmem device in this machine');
  for (const item of list) for (const line of describe(item)) printLine(line);
  for (const unit of units) printLine(`at boot: ${unit}`);
}

/** One device as lines of text. */
export function describe(item: DeviceStatus): string[] {
  const vectors = item.vectors === null ? '' : `, ${item.vectors} vectors`;
  const lines = [
    `${item.address} ivshmem-${item.variant} rev ${item.revision}, ${formatBytes(item.memoryBytes)}${vectors}`,
    `  region  ${item.region ?? `unknown: ${item.regionWhy}`}`,
    `  driver  ${item.driver ?? 'none'}${item.recorded ? ' (by ivshmem bind)' : ''}`,
    `  group   ${item.iommuGroup ?? 'none (no IOMMU)'}`,
  ];
  for (const { path, uid, gid } of item.nodes) lines.push(`  file    ${path} owner ${uid}:${gid}`);
  for (const { pid, name } of item.holders) lines.push(`  open in ${name} (pid ${pid})`);
  return lines;
}
