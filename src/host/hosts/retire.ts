import { PAGE_BYTES } from '../../memory/layout.ts';
import { binding } from '../../native/binding.ts';
import type { HostsBinding } from '../../native/hosts-binding.ts';
import type { SpreadRegion } from './spread-region.ts';

const LOOK_MS = 20;

/**
 * Ends what an earlier server of this region served: nobody moves these pages any more, and who maps them is told. Resolves when
 * nobody does, or after `ms`, when no member has a lease any more: before that nobody may hear that this host holds nothing.
 * `unclean`: the earlier life of this host may have had another region, of which nothing is known here.
 */
export async function retire(
  region: SpreadRegion,
  { abi }: HostsBinding,
  { unclean, ms }: { readonly unclean: boolean; readonly ms: number },
): Promise<void> {
  const end = performance.now() + ms;
  const words = new Int32Array(region.memory.buffer);
  const old = [...region.spaces!.spread()];
  const holders: { slot: number; opened: number }[] = [];
  for (const { firstPage, holders: slots, number } of old) {
    const at = firstPage * PAGE_BYTES;
    // Release: pairs with the members' acquire.
    Atomics.store(words, (at + abi.state!) / 4, abi.stateFenced!);
    for (const slot of slots) {
      holders.push({ slot, opened: (at + abi.controlPage! * (1 + slot) + abi.opened!) / 4 });
      binding.eventfdSignal(region.eventfd(slot, -1));
    }
    region.run((tx) => region.spaces!.dropSpread(tx, number));
  }
  const maps = (): boolean => {
    const attached = new Set(region.attached());
    // Acquire: pairs with the release of a member that has unmapped everything.
    return holders.some(({ slot, opened }) => attached.has(slot) && Atomics.load(words, opened) !== 0);
  };
  const waits = old.length > 0 ? maps : () => unclean;
  while (waits() && performance.now() < end)
    await new Promise<void>((resolve) => setTimeout(resolve, LOOK_MS).unref());
}
