import { createInterface } from 'node:readline';
import { type MembershipEvent, open, type Region } from '../../../src/index.ts';
import { ackWords, type GuestCommand, wordBase } from '../acks.ts';
import { baselines } from '../polling.ts';
import { TablePoller } from './table-poller.ts';

// A member in a VM. It has no clock in common with anybody, so it says what it sees by storing the number of the view in words
// of its own block that nobody else uses, and the host looks at those. Argument: the member's name. Reads commands, a word a line.
const [name = 'guest'] = process.argv.slice(2);

let region: Region;
let stop = (): void => {};

async function join(): Promise<void> {
  region = await open({ name });
  const base = wordBase(region.header, region.slot);
  const words = new Int32Array(region.device.memory, base * 4, ackWords.count);
  const store = (word: number, value: number): void => {
    Atomics.store(words, word, value | 0);
  };
  const membership = await region.membership();
  const told = ({ view }: MembershipEvent): void => store(ackWords.event, view);
  membership.on('join', told).on('leave', told);
  const pollers = baselines.map(({ everyMs }, i) => {
    const saw = ({ view }: MembershipEvent): void => store(ackWords.polls[i]!, view);
    return new TablePoller(region, everyMs, Math.random() * everyMs, saw);
  });
  mark = () => store(ackWords.mark, (words[ackWords.mark]! + 1) | 0);
  stop = () => {
    for (const poller of pollers) poller.stop();
  };
}

/** Tells the host that what comes next comes now. */
let mark = (): void => {};

const commands: Readonly<Record<GuestCommand, () => void | Promise<void>>> = {
  join,
  leave: async () => {
    stop();
    mark();
    await region.close();
  },
  crash: () => {
    mark();
    process.kill(process.pid, 'SIGKILL');
  },
};

await join();
process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  await commands[line as GuestCommand]();
  process.stdout.write('done\n');
}
