import { closeSync, existsSync, openSync, readFileSync, statfsSync } from 'node:fs';
import { failed, type HostCheck, ok, warning } from './finding.ts';

const MIB = 1024 * 1024;
/** Descriptors a QEMU needs for itself, beside one eventfd per slot and vector. */
const QEMU_OWN_DESCRIPTORS = 256;

export const checkQemu: HostCheck = ({ system, qemu }) => {
  const name = 'QEMU';
  const version = system.run(qemu, ['--version']);
  if (version.status !== 0) {
    return failed(
      name,
      `${qemu} does not run`,
      'Install QEMU (Debian: apt install qemu-system-x86), or name it with --qemu.',
    );
  }
  const text = version.stdout.split('\n')[0]!.trim();
  const devices = system.run(qemu, ['-device', 'help']);
  if (!devices.stdout.includes('"ivshmem-doorbell"')) {
    const fix =
      'Use a QEMU built with ivshmem (Debian, Ubuntu and upstream builds are; RHEL and Fedora leave it out).';
    return failed(name, `${text} has no ivshmem-doorbell device`, fix);
  }
  return ok(name, `${text}, with ivshmem-doorbell`);
};

export const checkKvm: HostCheck = ({ system }) => {
  const name = 'KVM';
  const path = system.path('/dev/kvm');
  if (!existsSync(path)) {
    const fix =
      'Switch virtualization on in the firmware (or nested virtualization in the hypervisor) and `modprobe kvm_intel` or kvm_amd.';
    return warning(name, '/dev/kvm is absent: guests run under TCG, about 10 times slower', fix);
  }
  try {
    closeSync(openSync(path, 'r+'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return warning(
      name,
      `/dev/kvm cannot be opened (${code})`,
      'Add this user to the group kvm and log in again.',
    );
  }
  return ok(name, '/dev/kvm can be opened');
};

export const checkDescriptors: HostCheck = ({ system, slots, vectors }) => {
  const name = 'open files';
  const needed = slots * vectors + QEMU_OWN_DESCRIPTORS;
  const limits = readFileSync(system.path('/proc/self/limits'), 'utf8');
  const [, soft = '0', hard = '0'] = /^Max open files\s+(\w+)\s+(\w+)/m.exec(limits) ?? [];
  const number = (text: string) => (text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text));
  const use = `${slots} slots x ${vectors} vectors take up to ${needed} descriptors in each QEMU`;
  if (number(soft) >= needed) return ok(name, `limit ${soft}; ${use}`);
  // A QEMU that runs out takes an eventfd message without its descriptor for a disconnect, and aborts.
  const fix = `Raise it where QEMU starts: ulimit -n ${needed} (systemd: LimitNOFILE=${needed}; libvirt: max_files in qemu.conf), or use fewer slots.`;
  const found = `limit ${soft} (hard ${hard}), but ${use}`;
  return number(hard) >= needed ? warning(name, found, fix) : failed(name, found, fix);
};

export const checkSharedMemory: HostCheck = ({ system }) => {
  const name = '/dev/shm';
  const path = system.path('/dev/shm');
  const fix = 'Use memory of kind memfd (the default), or remount: mount -o remount,size=2G /dev/shm.';
  if (!existsSync(path)) return warning(name, 'it is absent: regions cannot be files there', fix);
  const { bsize, blocks, bavail } = statfsSync(path);
  const free = Math.floor((bsize * bavail) / MIB);
  const found = `${free} MiB free of ${Math.floor((bsize * blocks) / MIB)} MiB`;
  return free < 64 ? warning(name, found, fix) : ok(name, found);
};

export const checkHugePages: HostCheck = ({ system }) => {
  const name = 'huge pages';
  const text = readFileSync(system.path('/proc/meminfo'), 'utf8');
  const value = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
  const total = value('HugePages_Total');
  if (total === 0) return ok(name, 'none reserved (needed only by regions that ask for them)');
  const free = value('HugePages_Free');
  const found = `${free} of ${total} free, ${value('Hugepagesize')} kB each`;
  if (free > 0) return ok(name, found);
  return warning(
    name,
    found,
    'Reserve more: sysctl vm.nr_hugepages=N, or let the regions use ordinary memory.',
  );
};

export const checkConfinement: HostCheck = ({ system }) => {
  const name = 'libvirt';
  const says = (path: string, wanted: RegExp) => {
    const file = system.path(path);
    return existsSync(file) && wanted.test(readFileSync(file, 'utf8'));
  };
  if (!existsSync(system.path('/etc/libvirt'))) return ok(name, 'not installed');
  if (says('/sys/module/apparmor/parameters/enabled', /^Y/)) {
    const fix =
      'If a VM cannot connect, add the line "/run/ivshmem/** rw," to /etc/apparmor.d/local/abstractions/libvirt-qemu and reload AppArmor.';
    return warning(name, "AppArmor confines libvirt's QEMUs", fix);
  }
  if (says('/sys/fs/selinux/enforce', /^1/)) {
    const fix =
      "If a VM cannot connect, label the server's directory for sVirt: semanage fcontext -a -t svirt_image_t '/run/ivshmem(/.*)?' && restorecon -R /run/ivshmem.";
    return warning(name, "SELinux confines libvirt's QEMUs", fix);
  }
  return ok(name, 'installed, neither AppArmor nor SELinux confines its QEMUs');
};
