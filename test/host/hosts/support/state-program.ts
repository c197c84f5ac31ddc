/**
 * Saves a state of more bytes than a file of this process may have by then: write(2) ends with a part, as where a disk is nearly full.
 *
 *     state-program.ts PATH NAME,NAME,... BYTES
 */
import { execFileSync } from 'node:child_process';
import { StateFile } from '../../../../src/host/hosts/state-file.ts';

const [path, names, bytes] = process.argv.slice(2) as [string, string, string];
const file = new StateFile(path, names.split(','), names.split(',')[0]!);
const state = file.load();
const seats = Array.from({ length: 64 }, (_, node) => ({ node, incarnation: 1 }));
execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}`]);
file.save({ ...state, value: { ...state.value, view: { epoch: 1, seats } } });
