import type { GuestProcess } from '../../../qemu/guest-process.ts';
import type { Vm } from '../../../qemu/vm.ts';

const DEADLINE_MS = 180_000;

/** `ivshmem tun` in a VM whose device is bound: one end of an IP network over the region. */
export class TunEnd {
  readonly vm: Vm;
  readonly address: string;
  readonly #process: GuestProcess;

  private constructor(vm: Vm, address: string, process: GuestProcess) {
    this.vm = vm;
    this.address = address;
    this.#process = process;
  }

  /** Brings up the interface ivshm0, with an address of 10.78.0.0/24. */
  static async up(vm: Vm, address: string): Promise<TunEnd> {
    const words = `ivshmem tun --member ${vm.name} --address ${address}/24`;
    const end = new TunEnd(vm, address, vm.spawn(`modprobe tun && exec ${words}`));
    await end.#process.waitFor(/^ivshm0 is up/m, DEADLINE_MS);
    return end;
  }

  /** Resolves when it has a route to a peer. */
  async knows(peer: TunEnd): Promise<void> {
    await this.#process.waitFor(new RegExp(`^\\+ ${peer.vm.name} ${peer.address}$`, 'm'), DEADLINE_MS);
  }

  /** The interface that packets to an address leave by. */
  async interfaceTo(address: string): Promise<string | undefined> {
    return / dev (\S+)/.exec(await this.vm.check(`ip route get ${address}`))?.[1];
  }

  /** Bytes that have gone through the interface so far, as the kernel counts them. */
  async bytes(): Promise<{ sent: number; received: number }> {
    const [link] = JSON.parse(await this.vm.check('ip -s -j link show dev ivshm0'));
    return { sent: link.stats64.tx.bytes, received: link.stats64.rx.bytes };
  }

  /** Interrupts it. Resolves with its exit status and what it says it carried. */
  async down(): Promise<{ status: number | null; sent: number; received: number }> {
    this.#process.kill('SIGINT');
    const { status, stdout } = await this.#process.wait();
    const [, sent, received] = /^(\d+) packets sent, (\d+) received/m.exec(stdout) ?? [];
    return { status, sent: Number(sent), received: Number(received) };
  }
}
