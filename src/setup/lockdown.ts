import { readFileSync } from 'node:fs';
import type { System } from './system.ts';

/**
 * The kernel's lockdown mode, 'none' when it has no lockdown (kernel_lockdown.7). Integrity and confidentiality both
 * forbid mapping BARs and writing configuration space through sysfs (LOCKDOWN_PCI_ACCESS); VFIO stays allowed.
 */
export function lockdownMode(system: System): string {
  try {
    const text = readFileSync(system.path('/sys/kernel/security/lockdown'), 'utf8');
    return /\[(\w+)\]/.exec(text)?.[1] ?? 'none';
  } catch {
    // Absent (not built in, securityfs not mounted) or unreadable: nothing says the kernel is locked down.
    return 'none';
  }
}
