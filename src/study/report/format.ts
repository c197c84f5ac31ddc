import type { Sample } from '../results.ts';
import type { Estimate } from '../statistics.ts';

/** Names of multiples of a unit, ascending. */
type Steps = readonly (readonly [factor: number, name: string])[];

const times: Steps = [
  [1, 'ns'],
  [1e3, 'µs'],
  [1e6, 'ms'],
  [1e9, 's'],
];
const decimal = (unit: string): Steps => [
  [1, unit],
  [1e3, `k${unit}`],
  [1e6, `M${unit}`],
  [1e9, `G${unit}`],
];
const inNanoseconds: Readonly<Record<string, number>> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9 };

/** A number with three digits that count, and its unit: `1.23 µs`, `92.2 MB/s`, `35.3 Mmsg/s`, `0.42 s/GiB`. */
export function figure(value: number, unit: string): string {
  const factor = inNanoseconds[unit];
  if (factor !== undefined) return scaled(value * factor, times);
  if (hasSteps(unit)) return scaled(value, decimal(unit === '1/s' ? '/s' : unit));
  return `${digits(value)} ${unit}`.trimEnd();
}

/** Whether figures of a unit carry it in steps (ns, µs, ms); others are better said once than at every tick. */
export const hasSteps = (unit: string): boolean =>
  unit in inNanoseconds || /^(B|msg|op|1|req)\/s$/.test(unit);

function scaled(value: number, steps: Steps): string {
  const [factor, name] = [...steps].reverse().find(([each]) => Math.abs(value) >= each * 0.9995) ?? steps[0]!;
  return `${digits(value / factor)} ${name}`;
}

/** Three digits that count; no powers of ten where a reader can do without. */
export function digits(value: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(2);
  return size >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}

/** How many times: `12.3×`. */
export const times3 = (ratio: number): string => `${digits(ratio)}×`;

/** `1.2 µs [1.1 µs, 1.3 µs], n = 5`: never a figure without its interval. */
export function withInterval({ value, low, high, n }: Estimate, unit: string): string {
  return `${figure(value, unit)} [${figure(low, unit)}, ${figure(high, unit)}], n = ${n}`;
}

export function ratioWithInterval({ value, low, high }: Estimate): string {
  return `${times3(value)} [${digits(low)}, ${digits(high)}]`;
}

/** A figure at a tick of an axis whose title says the unit where it has no steps. */
export const tickText = (value: number, unit: string): string =>
  hasSteps(unit) || unit === '×' ? figure(value, unit) : digits(value);

/** `64 B`, `4 KiB`. */
export function bytes(size: number): string {
  if (size >= 2 ** 30) return `${digits(size / 2 ** 30)} GiB`;
  if (size >= 2 ** 20) return `${digits(size / 2 ** 20)} MiB`;
  return size >= 1024 ? `${digits(size / 1024)} KiB` : `${size} B`;
}

/** A level of a factor as a reader says it. */
export function levelText(factor: string, level: string | number): string {
  if (typeof level === 'string') return level;
  if (factor === 'bytes') return bytes(level);
  if (factor === 'remote') return `${digits(level)} % remote`;
  if (factor === 'perSecond') return `${level} a second`;
  return `${level} ${factor}`;
}

/** A whole point: `64 B, 8 members`. */
export function pointLabel(point: Sample['point']): string {
  return Object.entries(point)
    .map(([factor, level]) => levelText(factor, level))
    .join(', ');
}

/** `round-trip` as `Round trip`. */
export function title(name: string): string {
  const words = name.replaceAll('-', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export const whereText: Readonly<Record<Sample['where'], string>> = {
  native: 'two processes of one host',
  vm: 'two virtual machines',
};
