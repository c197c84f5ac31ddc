/** One value of a scrape. */
export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/**
 * Reads the Prometheus text format as strictly as `promtool check metrics` does: each family has HELP and TYPE before its values
 * and is told once, names and labels are well formed and never twice the same, counters end in _total and are never negative.
 */
export function parseMetrics(text: string): Series[] {
  if (!text.endsWith('\n')) throw new Error('the last line has no end');
  const help = new Set<string>();
  const types = new Map<string, string>();
  const seen = new Set<string>();
  const finished = new Set<string>();
  const series: Series[] = [];
  let family = '';
  const begin = (name: string): void => {
    if (name === family) return;
    if (finished.has(name)) throw new Error(`${name} is told in two places`);
    finished.add(family);
    family = name;
  };
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const about = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line);
    if (about !== null) {
      const [, what, name, rest] = about as unknown as [string, string, string, string];
      begin(name);
      if (what === 'HELP' ? help.has(name) : types.has(name)) throw new Error(`two ${what} of ${name}`);
      if (what === 'HELP') help.add(name);
      else if (!['counter', 'gauge'].includes(rest)) throw new Error(`${name} is a ${rest}`);
      else types.set(name, rest);
      continue;
    }
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?[0-9.e+-]+|[+-]Inf|NaN)$/.exec(line);
    if (sample === null) throw new Error(`not a line of the format: ${line}`);
    const [, name, inside = '', value] = sample as unknown as [string, string, string | undefined, string];
    if (name !== family || !help.has(name) || !types.has(name))
      throw new Error(`${name} without HELP and TYPE`);
    if (seen.has(`${name}{${inside}}`)) throw new Error(`twice: ${line}`);
    seen.add(`${name}{${inside}}`);
    const isCounter = types.get(name) === 'counter';
    if (isCounter !== name.endsWith('_total')) throw new Error(`${name} is no name of a ${types.get(name)}`);
    const number = Number(value);
    if (!Number.isFinite(number) || (isCounter && number < 0)) throw new Error(line);
    series.push({ name, labels: labelsOf(inside), value: number });
  }
  return series;
}

function labelsOf(inside: string): Record<string, string> {
  const labels: Record<string, string> = {};
  let rest = inside;
  while (rest !== '') {
    const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/.exec(rest);
    if (label === null) throw new Error(`not labels: ${rest}`);
    labels[label[1]!] = label[2]!.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));
    rest = rest.slice(label[0].length);
  }
  return labels;
}

/** The value of one series; undefined when it is not there. */
export function seriesValue(
  series: readonly Series[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  return series.find(
    (one) => one.name === name && Object.entries(labels).every(([key, value]) => one.labels[key] === value),
  )?.value;
}
