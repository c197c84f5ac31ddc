import { readFileSync } from 'node:fs';
import type { System } from '../system.ts';
import { type GuestCheck, ok, warning } from './finding.ts';

const name = 'processors';
const CLOCKS = '/sys/devices/system/clocksource/clocksource0/available_clocksource';
const PROCESSOR_TABLE = '/sys/firmware/acpi/tables/APIC';
/** ACPI 6.5 §5.2.12: entries follow the header; types of those that are processors, there or still to be plugged in. */
const FIRST_ENTRY = 44;
const LOCAL_APIC = 0;
const LOCAL_X2APIC = 9;

/**
 * An emulated machine that can never have a second processor gets instructions from QEMU (TCG) that are atomic and ordered for that one
 * alone, not for peers: marks and messages are lost between them, rarely.
 */
export const checkProcessors: GuestCheck = ({ system }) => {
  const clocks = read(system, CLOCKS)?.toString('latin1');
  if (clocks === undefined || /kvm-clock/.test(clocks)) return ok(name, 'real ones, as far as can be seen');
  const table = read(system, PROCESSOR_TABLE);
  if (table === undefined) return ok(name, 'emulated, as it seems; only root sees how many there may be');
  const most = processorsIn(table);
  if (most !== 1) return ok(name, `emulated, as it seems; there may be ${most}`);
  const fix =
    'Start an emulated VM with -smp 1,maxcpus=2 or more processors. With KVM there is nothing to do.';
  return warning(name, 'one, emulated as it seems: its atomic instructions are none for peers', fix);
};

/** How many processors a multiple APIC description table has room for. */
export function processorsIn(table: Buffer): number {
  let count = 0;
  for (let at = FIRST_ENTRY; at + 2 <= table.length; ) {
    const [type, length] = [table[at]!, table[at + 1]!];
    if (type === LOCAL_APIC || type === LOCAL_X2APIC) count++;
    if (length < 2) break;
    at += length;
  }
  return count;
}

function read(system: System, path: string): Buffer | undefined {
  try {
    return readFileSync(system.path(path));
  } catch {
    return undefined; // Another architecture, or not for this user: then it tells nothing.
  }
}
