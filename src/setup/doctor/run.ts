import type { PciFunction } from '../../pci/sysfs.ts';
import { ivshmemDevices } from '../select.ts';
import type { System } from '../system.ts';
import { checkCacheTrap } from './cache-trap.ts';
import {
  type Finding,
  failed,
  type GuestCheck,
  type GuestContext,
  type HostCheck,
  type HostContext,
  ok,
} from './finding.ts';
import {
  checkAccess,
  checkDriver,
  checkIommu,
  checkLockdown,
  checkMemory,
  checkModules,
  checkMsix,
} from './guest-device.ts';
import {
  checkConfinement,
  checkDescriptors,
  checkHugePages,
  checkKvm,
  checkQemu,
  checkSharedMemory,
} from './host-machine.ts';
import { checkServerSocket } from './host-socket.ts';
import { checkProcessors } from './processor.ts';

const hostChecks: Readonly<Record<string, HostCheck>> = {
  QEMU: checkQemu,
  KVM: checkKvm,
  server: checkServerSocket,
  'open files': checkDescriptors,
  '/dev/shm': checkSharedMemory,
  'huge pages': checkHugePages,
  libvirt: checkConfinement,
};

const guestChecks: Readonly<Record<string, GuestCheck>> = {
  modules: checkModules,
  'IOMMU group': checkIommu,
  driver: checkDriver,
  lockdown: checkLockdown,
  access: checkAccess,
  'MSI-X': checkMsix,
  BAR2: checkMemory,
  'BAR2 speed': checkCacheTrap,
  processors: checkProcessors,
};

export type Role = 'host' | 'guest';

export interface DoctorOptions {
  /** undefined: a machine with an ivshmem device is a guest, any other a host. */
  readonly role?: Role | undefined;
  readonly host: Omit<HostContext, 'system'>;
  readonly measure?: GuestContext['measure'];
}

export interface Report {
  readonly role: Role;
  readonly findings: readonly Finding[];
  /** False when a check failed; warnings do not count. */
  readonly healthy: boolean;
}

/** Runs every check of the role; a check that throws is a finding, too, and never hides the others. */
export async function examine(system: System, options: DoctorOptions): Promise<Report> {
  const devices = ivshmemDevices(system);
  const role = options.role ?? (devices.length > 0 ? 'guest' : 'host');
  const findings =
    role === 'host'
      ? await all(hostChecks, { system, ...options.host }, '')
      : await examineGuest(system, devices, options);
  return { role, findings, healthy: findings.every((finding) => finding.level !== 'failed') };
}

async function examineGuest(
  system: System,
  devices: readonly PciFunction[],
  options: DoctorOptions,
): Promise<Finding[]> {
  if (devices.length === 0) {
    const fix =
      'Start the VM with -device ivshmem-doorbell,chardev=C,vectors=2 and -chardev socket,id=C,path=SOCKET.';
    return [failed('device', 'there is no ivshmem device (1af4:1110)', fix)];
  }
  const findings: Finding[] = [ok('device', devices.map((device) => device.address.toString()).join(', '))];
  for (const device of devices) {
    const prefix = devices.length > 1 ? `${device.address} ` : '';
    const context = options.measure ? { system, device, measure: options.measure } : { system, device };
    findings.push(...(await all(guestChecks, context, prefix)));
  }
  return findings;
}

async function all<C>(
  checks: Readonly<Record<string, (context: C) => Finding | Promise<Finding>>>,
  context: C,
  prefix: string,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const [name, check] of Object.entries(checks)) {
    try {
      const finding = await check(context);
      findings.push({ ...finding, name: prefix + finding.name });
    } catch (error) {
      const fix = 'The machine does not show what the check needs to see; run ivshmem doctor as root.';
      findings.push(failed(prefix + name, `check not possible: ${(error as Error).message}`, fix));
    }
  }
  return findings;
}
