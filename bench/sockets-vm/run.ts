import { accelerator, machineLine } from '../../qemu/facts.ts';
import { print, progress } from '../harness/lines.ts';
import { describeMachine } from '../harness/machine.ts';
import { type SamplingOptions, samplingOf } from '../harness/options.ts';
import { choose } from '../sockets/choose.ts';
import { finish } from '../sockets/report.ts';
import { type Settings, takeAll } from '../sockets/schedule.ts';
import { vmItems } from './benchmarks.ts';
import { Guests } from './guests.ts';
import { VmPairs } from './vm-pairs.ts';

export interface SocketsVmOptions extends SamplingOptions {
  readonly only?: string;
}

/** `bench sockets-vm`: boots two VMs, measures in them, prints, writes. Exit status 1 when the product gave no number. */
export async function runSocketsVm(options: SocketsVmOptions): Promise<void> {
  const where = await accelerator();
  const items = choose(vmItems(where), options);
  const { cpus, ...sampling } = samplingOf(
    options,
    { rounds: 3, ms: 600, maxRetries: 2 },
    { rounds: 1, ms: 200, maxRetries: 0 },
  );
  const settings: Settings = {
    ...sampling,
    warmUpMs: options.quick ? 200 : 500,
    budgetMs: 60_000,
    leastBytes: 1 << 20,
  };
  const machine = describeMachine();
  const line = await machineLine();
  print(`${line}, load ${machine.load.map((load) => load.toFixed(2)).join(' ')}`);
  print(
    `${settings.rounds} rounds of ${settings.ms} ms, one virtual CPU in each VM, on CPUs ${cpus.join(' and ')}, seed ${settings.seed}`,
  );
  const began = performance.now();
  const guests = await Guests.start(cpus, progress);
  try {
    const pairs = new VmPairs(guests);
    // The guests' programs stay from round to round: an emulated processor takes seconds to start one.
    const round = async () => ({
      get: (name: string) => pairs.get(name),
      drop: () => pairs.drop(),
      pids: pairs.pids,
      [Symbol.asyncDispose]: async () => {},
    });
    const outcome = await takeAll(items, settings, round, progress);
    print(`took ${((performance.now() - began) / 1000).toFixed(0)} s, boots included`);
    const there = { ...machine, line, accelerator: where };
    const { commands } = guests;
    const details = { benchmark: 'sockets-vm', machine: there, settings, commands } as const;
    finish(items, outcome, details, options.json, print);
  } finally {
    await guests.close();
  }
}
