import { parseEnd } from '../../../src/study/end/parse.ts';
import { runEnd } from '../../../src/study/end/run-end.ts';

// Both sides of every pair of processes of a study: what `ivshmem study end` is in the package.
try {
  await runEnd(parseEnd(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exit(1);
}
