/**
 * Members join and leave by the thousand while others stay (docs/testing.md). SOAK_CYCLES: how many, 10,000 unless given;
 * SOAK_SECONDS: the longest it may take; IVSHMEM_TEST_SEED repeats a run. Exit status 1 when anything is left behind or was harmed.
 */
import { testSeed } from '../random.ts';
import { soak } from './soak.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const cycles = Number(process.env.SOAK_CYCLES ?? 10_000);
const seconds = Number(process.env.SOAK_SECONDS ?? 1800);
const seed = testSeed();
const cleaning: (() => Promise<unknown>)[] = [];
say(`soak: ${cycles} cycles, at most ${seconds} s, seed ${seed}`);
try {
  const teardown = (clean: () => Promise<unknown>): void => void cleaning.push(clean);
  const result = await soak({ teardown }, { cycles, seconds, seed, log: say });
  const { faults, before, after, ...counts } = result;
  for (const [name, value] of Object.entries(counts)) say(`  ${name.padEnd(12)} ${Math.round(value)}`);
  say(`  server       before ${JSON.stringify(before)}\n               after  ${JSON.stringify(after)}`);
  const missing = result.joined < cycles && process.env.SOAK_SECONDS === undefined;
  if (missing) faults.push(`only ${result.joined} of ${cycles} cycles in ${seconds} s`);
  for (const fault of faults) say(`FAULT ${fault}`);
  say(faults.length === 0 ? 'soak: nothing leaked, nobody was harmed' : `soak: ${faults.length} faults`);
  if (faults.length > 0) process.exitCode = 1;
} finally {
  for (const clean of cleaning.reverse()) await clean();
}
