import { fileURLToPath } from 'node:url';
import type { GuestProcess } from '../../../qemu/guest-process.ts';
import { guestProgram } from '../../../qemu/product.ts';
import type { Vm } from '../../../qemu/vm.ts';

const DEADLINE_MS = 240_000;
export const trafficEntry = fileURLToPath(new URL('../../tun/support/traffic.ts', import.meta.url));
const traffic = (...words: string[]): string[] => guestProgram('traffic', ...words);

/** `ivshmem tun` in a VM, with the address that the VM has on its network too: whoever is there carries the packets. */
export function tunIn(vm: Vm, device: string, address: string): GuestProcess {
  const command = `ivshmem tun --member tun-${vm.name} --device ${device} --address ${address}/24`;
  return vm.spawn(`modprobe tun && exec ${command}`);
}

/** The interface that packets from a VM to an address leave by. */
export async function wayTo(vm: Vm, address: string): Promise<string | undefined> {
  return / dev (\S+)/.exec(await vm.check(`ip route get ${address}`))?.[1];
}

/** A session between two VMs as a remote shell has one: a line, its echo, and a pause, over one connection of programs that know nothing. */
export class Session {
  readonly #beat: GuestProcess;

  private constructor(beat: GuestProcess) {
    this.#beat = beat;
  }

  static async open(from: Vm, to: Vm, address: string): Promise<Session> {
    const echo = to.spawn(traffic('echo'));
    await echo.waitFor(/^listening$/m, DEADLINE_MS);
    return new Session(from.spawn(traffic('beat', address)));
  }

  /** Resolves when more lines have come back than had when this was called. */
  async goesOn(): Promise<void> {
    const beats = this.#beat.stdout.match(/^beat /gm)?.length ?? 0;
    await this.#beat.waitFor(new RegExp(`^beat ${beats + 3}$`, 'm'), DEADLINE_MS);
  }

  /** The longest that an echo took until now, milliseconds. */
  get longestSilence(): number {
    const all = [...this.#beat.stdout.matchAll(/^silent for (\d+) ms$/gm)];
    return Math.max(0, ...all.map(([, ms]) => Number(ms)));
  }

  /** What was wrong until now, by its own account. */
  get faults(): string[] {
    return this.#beat.stdout.match(/^(wrong|error).*$/gm) ?? [];
  }
}
