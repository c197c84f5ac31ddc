import type { QmpEvent } from '../../../qemu/qmp.ts';
import type { Vm } from '../../../qemu/vm.ts';

/** Plugs an ivshmem-doorbell device into the empty slot port0. Resolves with its PCI address once the guest sees it. */
export async function plug(vm: Vm, socket: string): Promise<string> {
  const addr = { type: 'unix', data: { path: socket } };
  await vm.qmp.execute('chardev-add', {
    id: 'late',
    backend: { type: 'socket', data: { addr, server: false } },
  });
  await vm.qmp.execute('device_add', {
    driver: 'ivshmem-doorbell',
    id: 'late',
    chardev: 'late',
    bus: 'port0',
    vectors: 2,
  });
  // Bus 0 has the devices that were there at boot; the root port has a bus of its own.
  const find = 'until lspci -Dnd 1af4:1110 | grep -v ^0000:00:; do sleep 0.1; done';
  return (await vm.check(find, { timeout: 180_000 })).split(' ')[0]!;
}

/** Asks the guest for the device back. Rejects unless DEVICE_DELETED comes within `timeout` milliseconds. */
export async function unplug(vm: Vm, timeout = 180_000): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => finish(new Error(`no DEVICE_DELETED within ${timeout} ms`)), timeout);
    const listen = ({ event, data }: QmpEvent): void => {
      if (event === 'DEVICE_DELETED' && data?.device === 'late') finish();
    };
    const finish = (error?: Error): void => {
      clearTimeout(timer);
      vm.qmp.off('event', listen);
      if (error) reject(error);
      else resolve();
    };
    vm.qmp.on('event', listen);
    vm.qmp.execute('device_del', { id: 'late' }).catch(finish);
  });
  await vm.qmp.execute('chardev-remove', { id: 'late' });
}
