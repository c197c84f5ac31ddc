import type { Item } from './benchmarks.ts';

interface Wanted {
  readonly only?: string;
  readonly contestants?: string;
}

/** The items that `--only` and `--contestants` name. Ends the process when one is unknown. */
export function choose(items: readonly Item[], { only, contestants }: Wanted): Item[] {
  const ids = only?.split(',');
  const names = contestants?.split(',');
  const unknown = ids?.filter((id) => !items.some((item) => item.id === id)) ?? [];
  if (unknown.length > 0) {
    const known = items.map(({ id }) => id).join(', ');
    process.stderr.write(`no such benchmark: ${unknown.join(', ')}; there are ${known}\n`);
    process.exit(2);
  }
  return items
    .filter(({ id }) => ids === undefined || ids.includes(id))
    .map((item) => ({ ...item, ways: item.ways.filter(({ name }) => !names || names.includes(name)) }));
}
