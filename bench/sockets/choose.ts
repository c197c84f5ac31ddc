import { chosen } from '../harness/options.ts';
import type { Item } from './benchmarks.ts';

interface Wanted {
  readonly only?: string;
  readonly contestants?: string;
}

/** The items that `--only` and `--contestants` name. Ends the process when one is unknown. */
export function choose(items: readonly Item[], { only, contestants }: Wanted): Item[] {
  const names = contestants?.split(',');
  return chosen(items, only).map((item) => ({
    ...item,
    ways: item.ways.filter(({ name }) => !names || names.includes(name)),
  }));
}
