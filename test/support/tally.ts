import { Parser } from 'tap-parser';

export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
  /** Full names of what failed, and of what was skipped with its reason. */
  failures: string[];
  skips: string[];
  /** Full names of what failed once, and not when its file was run again by itself. */
  unsteady: string[];
}

export const emptyTally = (): Tally => ({
  passed: 0,
  failed: 0,
  skipped: 0,
  failures: [],
  skips: [],
  unsteady: [],
});

/** What failed in this file counts as passed and unsteady from now on: it has passed when it was run again. */
export function passedAgain(tally: Tally, file: string): void {
  const isHere = (name: string): boolean => name.startsWith(`${file} > `);
  const here = tally.failures.filter(isHere);
  tally.failures = tally.failures.filter((name) => !isHere(name));
  tally.unsteady.push(...here);
  tally.failed -= here.length;
  tally.passed += here.length;
}

/** Counts one file's tally into another. */
export function add(tally: Tally, other: Tally): void {
  tally.passed += other.passed;
  tally.failed += other.failed;
  tally.skipped += other.skipped;
  tally.failures.push(...other.failures);
  tally.skips.push(...other.skips);
}

/** Counts the leaves of the TAP stream of `file`: a test that has subtests is counted through them. */
export function tallyFile(tally: Tally, file: string): Parser {
  const watch = (parser: Parser, path: string): void => {
    let child: { count: number } | null = null;
    parser.on('child', (inner) => {
      child = { count: 0 };
      const box = child;
      inner.on('assert', () => box.count++);
      watch(inner, `${path} > ${inner.name}`);
    });
    parser.on('assert', (result) => {
      const parent = child !== null && child.count > 0;
      child = null;
      const name = `${path} > ${result.name}`;
      if (result.skip) {
        tally.skipped++;
        tally.skips.push(`${name}: ${result.skip === true ? 'NO REASON GIVEN' : result.skip}`);
      } else if (!parent && result.ok) tally.passed++;
      else if (!parent && !result.ok) {
        tally.failed++;
        tally.failures.push(name);
      }
    });
  };
  const root = new Parser();
  watch(root, file);
  return root;
}
