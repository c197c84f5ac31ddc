import type { QmpEvent } from '../../../qemu/qmp.ts';
import type { Vm } from '../../../qemu/vm.ts';

const RESET_MS = 180_000;

/** Panics the guest's kernel, which then boots again (`onReboot: 'reset'`). Resolves when the guest takes commands again. */
export async function panicAndReboot(vm: Vm): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const finish = (error?: Error): void => {
      clearTimeout(timer);
      vm.qmp.off('event', listen);
      if (error) reject(error);
      else resolve();
    };
    const timer = setTimeout(() => finish(new Error(`no RESET within ${RESET_MS} ms`)), RESET_MS);
    // What the agent is asked before the reset, the guest that panics takes with it.
    const listen = ({ event }: QmpEvent): void => {
      if (event === 'RESET') finish();
    };
    vm.qmp.on('event', listen);
    vm.spawn('echo c > /proc/sysrq-trigger');
  });
  await vm.ready();
}
