import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Artifacts, IvshmemDevice, Network, VmOptions } from './options.ts';

const qemu = 'qemu-system-x86_64';

/** Paths of the three files a VM makes in its directory. */
export function vmFiles(directory: string) {
  return {
    console: join(directory, 'console.log'),
    qmp: join(directory, 'qmp.sock'),
    agent: join(directory, 'agent.sock'),
  };
}

/** The full command that starts a VM, program first. It only composes: nothing is created or checked. */
export function qemuCommand(options: VmOptions, artifacts: Artifacts): string[] {
  const { network, iommu = true } = options;
  const files = vmFiles(artifacts.directory);
  return [
    ...(network?.kind === 'tap' ? ['ip', 'netns', 'exec', network.namespace] : []),
    ...[qemu, '-nodefaults', '-no-user-config', '-display', 'none', '-name', options.name],
    ...config('machine'),
    ...['-accel', artifacts.accelerator.accel, '-cpu', artifacts.accelerator.cpu],
    ...['-m', `${options.memory ?? 512}M`, '-smp', processors(options.cpus ?? 1)],
    ...(options.onReboot === 'reset' ? [] : ['-no-reboot']),
    ...(iommu ? config('iommu') : []),
    ...[
      '-kernel',
      artifacts.kernel,
      '-initrd',
      artifacts.initramfs,
      '-append',
      kernelCommandLine(options, artifacts),
    ],
    ...config('disks', `drive.base.file=${artifacts.disk}`, `drive.payload.file=${artifacts.payload}`),
    ...(options.programs ? config('programs', `drive.programs.file=${artifacts.programs}`) : []),
    ...config(
      'console',
      `chardev.console.path=${files.console}`,
      `chardev.qmp.path=${files.qmp}`,
      `chardev.agent.path=${files.agent}`,
    ),
    ...(network ? networkArguments(network) : []),
    ...(options.ivshmem ?? []).flatMap(ivshmemArguments),
    ...Array.from({ length: options.ports ?? 0 }, (_, port) => rootPort(port)).flat(),
    ...(options.devices ?? []).flatMap((device) => ['-device', device]),
    ...(options.incoming === undefined ? [] : ['-incoming', options.incoming]),
    ...(options.arguments ?? []),
  ];
}

/** Quotes a command for a shell, to be printed. */
export function shellCommand(command: readonly string[]): string {
  return command
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(' ');
}

/**
 * Room for a second processor, if there is but one: where QEMU emulates a machine that can never have another (TCG), its atomic
 * instructions are not atomic and its fences none for whoever else has the memory, which here are the other peers
 * (docs/decisions/emulated-guests.md).
 */
function processors(count: number): string {
  return count === 1 ? '1,maxcpus=2' : String(count);
}

/** One concern's configuration file, and the settings that differ from one VM to the next. */
function config(concern: string, ...settings: string[]): string[] {
  const path = fileURLToPath(new URL(`config/${concern}.cfg`, import.meta.url));
  return ['-readconfig', path, ...settings.flatMap((setting) => ['-set', setting])];
}

function kernelCommandLine(options: VmOptions, { accelerator }: Artifacts): string {
  const { name, network, programs, append, iommu = true } = options;
  // no_timer_check: on a busy host the emulated timer is late, which the kernel takes for a broken one and panics.
  const words = [
    'console=ttyS0',
    'quiet',
    'panic=-1',
    'no_timer_check',
    ...(iommu ? ['intel_iommu=on'] : []),
    ...(accelerator.append === undefined ? [] : [accelerator.append]),
  ];
  // The kernel hands words it does not know to PID 1 as environment variables (guest-image/initramfs/init, root/init).
  words.push(`GUEST_NAME=${name}`);
  if (programs) words.push('GUEST_PROGRAMS=1');
  if (network) words.push('GUEST_MODULES=virtio_net', `GUEST_ADDRESS=${address(network)}`);
  if (append) words.push(append);
  return words.join(' ');
}

function address(network: Network): string {
  return network.kind === 'user' ? '10.0.2.15/24' : network.address;
}

function networkArguments(network: Network): string[] {
  const card =
    network.kind === 'user' ? config('virtio-net') : config('virtio-net', `device.net0.mac=${network.mac}`);
  return ['-netdev', netdev(network), ...card];
}

function netdev(network: Network): string {
  switch (network.kind) {
    case 'user':
      return 'user,id=net0,restrict=on';
    case 'tap':
      return `tap,id=net0,ifname=${network.tap},script=no,downscript=no,vhost=off`;
    case 'pair': {
      const ends = `local.type=unix,local.path=${network.local},remote.type=unix,remote.path=${network.remote}`;
      return `dgram,id=net0,${ends}`;
    }
  }
}

function ivshmemArguments(device: IvshmemDevice, index: number): string[] {
  const id = device.id ?? `ivshmem${index}`;
  if (device.kind === 'doorbell') {
    const { server, vectors = 2 } = device;
    // A configuration file has one device, with a fixed name: the first. `reconnect` is left out on purpose in both.
    if (id === 'ivshmem0') {
      return config(
        'ivshmem-doorbell',
        `chardev.ivshmem0.path=${server}`,
        `device.ivshmem0.vectors=${vectors}`,
      );
    }
    const chardev = ['-chardev', `socket,id=${id},path=${server}`];
    return [...chardev, '-device', `ivshmem-doorbell,id=${id},chardev=${id},vectors=${vectors}`];
  }
  const memory = `ivshmem-memory${id === 'ivshmem0' ? 0 : `-${id}`}`;
  const backend = `memory-backend-file,id=${memory},share=on,mem-path=${device.memory},size=${device.size}`;
  const card =
    id === 'ivshmem0' ? config('ivshmem-plain') : ['-device', `ivshmem-plain,id=${id},memdev=${memory}`];
  return ['-object', backend, ...card];
}

function rootPort(index: number): string[] {
  // Unasked, the firmware sets 2 MiB aside behind an empty port: too little for the memory of most regions.
  const room = 'pref64-reserve=1G';
  return ['-device', `pcie-root-port,id=port${index},chassis=${index + 1},slot=${index + 1},${room}`];
}
