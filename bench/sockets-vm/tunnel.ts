import type { Guests } from './guests.ts';

const UP_MS = 120_000;

const tunnels = new WeakMap<Guests, Promise<void>>();

/** `ivshmem tun` in both guests, once, whoever needs it. */
export const Tunnel = {
  /** Resolves when each has a route to the other. @throws Error with what was said when it does not come up: the same at every call. */
  start(guests: Guests): Promise<void> {
    const running = tunnels.get(guests) ?? Tunnel.launch(guests);
    tunnels.set(guests, running);
    return running;
  },

  async launch(guests: Guests): Promise<void> {
    const device = guests.device('tun');
    const ends = [guests.measuring, guests.answering].map((vm, index) => {
      const words = ['ivshmem', 'tun', '--address', `10.78.0.${index + 1}/24`, '--device', device];
      // Its interface takes root, and a kernel module that nothing in the guest loads by itself.
      return vm.check('modprobe tun').then(() => vm.spawn(words));
    });
    const running = await Promise.all(ends);
    await Promise.all(running.map((end) => end.waitFor(/^\+ .* 10\.78\.0\.\d/m, UP_MS)));
  },
};
