/**
 * Members join and leave by the thousand while others stay (docs/testing.md). SOAK_CYCLES: how many, 10,000 unless given;
 * SOAK_SECONDS: ends it sooner; SOAK_KILLS: of the server, 20 unless given; IVSHMEM_TEST_SEED repeats a run. Exit status 1 when
 * anything is left behind or was harmed.
 */
import { testSeed } from '../random.ts';
import { soak } from './soak.ts';

const MOST_SECONDS = 1800;
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const { SOAK_CYCLES = '10000', SOAK_SECONDS, SOAK_KILLS = '20' } = process.env;
const cycles = Number(SOAK_CYCLES);
const seconds = Number(SOAK_SECONDS ?? MOST_SECONDS);
const seed = testSeed();
const cleaning: (() => Promise<unknown>)[] = [];
say(`soak: ${cycles} cycles, at most ${seconds} s, seed ${seed}`);
try {
  const teardown = (clean: () => Promise<unknown>): void => void cleaning.push(clean);
  const options = { cycles, kills: Number(SOAK_KILLS), seconds, seed, log: say };
  const { faults, ...counts } = await soak({ teardown }, options);
  for (const [name, value] of Object.entries(counts)) say(`  ${name.padEnd(12)} ${Math.round(value)}`);
  if (counts.joined < cycles && SOAK_SECONDS === undefined)
    faults.push(`only ${counts.joined} of ${cycles} cycles in ${seconds} s`);
  for (const fault of faults) say(`FAULT ${fault}`);
  say(faults.length === 0 ? 'soak: nothing leaked, nobody was harmed' : `soak: ${faults.length} faults`);
  if (faults.length > 0) process.exitCode = 1;
} finally {
  for (const clean of cleaning.reverse()) await clean();
}
