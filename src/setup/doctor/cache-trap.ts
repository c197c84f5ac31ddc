import { readFileSync } from 'node:fs';
import type { System } from '../system.ts';
import { measureDevice } from './bandwidth.ts';
import { type GuestCheck, type MemoryBandwidth, ok, warning } from './finding.ts';

const name = 'BAR2 speed';
/**
 * Uncached reads move 8 to 64 bytes per memory round trip, 10 to 300 MB/s on every machine reported; cached ones reach
 * several thousand. 500 lies between. Emulation (TCG) slows both, so a mapping is called uncached only if it is also
 * four times slower than private memory measured the same way.
 */
const UNCACHED_BELOW_MBPS = 500;
const UNCACHED_RATIO = 4;

/** Measures BAR2 and warns when its mappings are uncached, with the fix for this processor and firmware. */
export const checkCacheTrap: GuestCheck = async ({ system, device, measure = measureDevice }) => {
  let results: MemoryBandwidth[];
  try {
    results = await measure(device);
  } catch (error) {
    const fix = 'Run ivshmem doctor as root while no program has the device open.';
    return warning(name, `not measured: ${(error as Error).message}`, fix);
  }
  const found = results.map(describe).join('; ');
  const reference = results.find((item) => item.mapping === 'private')!;
  if (reference.readMBps < UNCACHED_BELOW_MBPS) {
    return ok(name, `${found}; no verdict, private memory is as slow (emulated processor)`);
  }
  const mappings = results.filter((item) => item.mapping !== 'private');
  const slow = (key: 'readMBps' | 'writeMBps') =>
    mappings.every((item) => item[key] < UNCACHED_BELOW_MBPS && item[key] * UNCACHED_RATIO < reference[key]);
  const reads = slow('readMBps');
  if (!reads && !slow('writeMBps')) {
    const best = mappings.reduce((a, b) => (b.readMBps + b.writeMBps > a.readMBps + a.writeMBps ? b : a));
    return ok(name, `${found}; cached, best ${best.mapping}`);
  }
  const what = reads ? 'reads are uncached' : 'writes are uncached';
  return warning(name, `${found}; ${what}`, fixFor(system, device.resources()[2]?.start ?? 0n));
};

function describe({ mapping, readMBps, writeMBps }: MemoryBandwidth): string {
  return `${mapping} reads ${readMBps} MB/s, writes ${writeMBps} MB/s`;
}

function fixFor(system: System, start: bigint): string {
  if (uncachableByMtrr(readOr(system, '/proc/mtrr'), start)) {
    return 'The firmware marks BARs uncachable in the MTRRs (OVMF does): boot the VM with SeaBIOS or with -kernel.';
  }
  if (/AuthenticAMD|HygonGenuine/.test(readOr(system, '/proc/cpuinfo'))) {
    return 'KVM on AMD honours the uncached mapping of vfio-pci and resource2: bind to uio_pci_generic, whose write-combining mapping (resource2_wc) makes writes fast; reads stay slow unless a kernel helper maps the BAR write-back. Large messages suffer most.';
  }
  return 'The host honours uncached mappings: a device with non-coherent DMA is passed through to this VM (remove it, a GPU mostly), or KVM_X86_QUIRK_IGNORE_GUEST_PAT is switched off (leave it on).';
}

/** Whether a /proc/mtrr range of type uncachable holds the address. */
export function uncachableByMtrr(text: string, address: bigint): boolean {
  for (const line of text.split('\n')) {
    const match = /base=0x([0-9a-f]+).*size=\s*(\d+)([KMG])B.*: uncachable/.exec(line);
    if (match === null) continue;
    const [, base, count, unit] = match;
    const scale = { K: 10n, M: 20n, G: 30n }[unit as 'K' | 'M' | 'G'];
    const from = BigInt(`0x${base}`);
    if (address >= from && address < from + (BigInt(count!) << scale)) return true;
  }
  return false;
}

function readOr(system: System, path: string): string {
  try {
    return readFileSync(system.path(path), 'latin1');
  } catch {
    return ''; // Not this architecture, or hidden: then it tells nothing.
  }
}
