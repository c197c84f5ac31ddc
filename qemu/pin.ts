import { command } from '../guest-image/command.ts';
import type { Vm } from './vm.ts';

/**
 * Pins the virtual CPUs of a VM to one processor of this machine. QEMU's other threads, which carry its devices, stay free:
 * they would otherwise wait for a virtual CPU that polls.
 */
export async function pinVirtualCpus(vm: Vm, processor: number): Promise<void> {
  const threads = (await vm.qmp.execute('query-cpus-fast')) as { readonly 'thread-id': number }[];
  for (const thread of threads)
    await command('taskset', ['-c', '-p', String(processor), String(thread['thread-id'])]);
}
