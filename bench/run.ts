import { Command, InvalidArgumentError, Option } from 'commander';
import { runCore } from './core/run.ts';
import { runDsm } from './dsm/run.ts';
import { runMembership } from './membership/run.ts';
import { runSockets } from './sockets/run.ts';
import { runSocketsVm } from './sockets-vm/run.ts';
import { runStudyHere } from './study/run.ts';
import { runVm } from './vm/run.ts';

const program = new Command('bench')
  .description('Measures the product beside C floors and its peers, interleaved in one run')
  .showHelpAfterError();

/** A command whose order is random and whose result is kept. */
const measured = (name: string): Command =>
  program
    .command(name)
    .option('--json <file>', 'write the rows here, and the raw samples and the machine beside it')
    .option('--seed <n>', 'seed of the order', positive, (Date.now() % 2 ** 31) + 1);

/** One that samples its contestants in turn. */
const sampling = (name: string): Command =>
  measured(name)
    .option(
      '--max-others <share>',
      'take a sample again when others use more of a CPU than this',
      Number,
      0.1,
    )
    .option('--patience <s>', 'wait this long for others to be quiet before that', Number, 5);

sampling('core')
  .description('two processes on this host')
  .option('--rounds <n>', 'samples of each contestant (7)', positive)
  .option('--ms <n>', 'length of one sample, milliseconds (300)', positive)
  .option('--quick', '3 rounds of 60 ms unless said otherwise: a look, not a result', false)
  .option('--only <ids>', 'these benchmarks only, separated by commas')
  .option('--contestants <names>', 'these contestants only, separated by commas')
  .option('--cpus <a,b>', 'the two CPUs', '0,1')
  .action(runCore);

sampling('vm')
  .description('two VMs, beside TCP over virtio-net between the same two (root)')
  .option('--rounds <n>', 'samples of each path (5)', positive)
  .option('--ms <n>', 'length of one sample, milliseconds (1000)', positive)
  .option(
    '--quick',
    '3 rounds of 400 ms unless said otherwise, none taken again: a look, not a result',
    false,
  )
  .option('--cpus <a,b>', 'where the virtual CPUs of the two VMs run', '0,1')
  .action(runVm);

measured('membership')
  .description('who hears of a change when, beside members that poll; idle members; a restart of the server')
  .option('--rounds <n>', 'rounds (5)', positive)
  .option('--quick', '3 rounds with 2 and 8 members, no VMs: a look, not a result', false)
  .option('--only <parts>', 'these parts only, separated by commas: detect, idle, restart, vms')
  .option('--no-vms', 'without VMs, which need root and an image')
  .action(runMembership);

sampling('sockets')
  .description('ivshmem/net between two processes, beside sockets of node:net')
  .option('--rounds <n>', 'samples of each contestant (5)', positive)
  .option('--ms <n>', 'length of one sample, milliseconds (250)', positive)
  .option('--quick', '1 round of 80 ms unless said otherwise, none taken again: a look, not a result', false)
  .option('--only <ids>', 'these benchmarks only, separated by commas')
  .option('--contestants <names>', 'these contestants only, separated by commas')
  .option('--cpus <a,b>', 'where the measuring and the answering process run', '0,1')
  .option('--profile <folder>', "V8's profiles of both processes of each pair, written there")
  .action(runSockets);

sampling('sockets-vm')
  .description(
    'ivshmem/net and the TUN interface between two VMs, beside virtio-net between the same two (root)',
  )
  .option('--rounds <n>', 'samples of each path (3)', positive)
  .option('--ms <n>', 'length of one sample, milliseconds (600)', positive)
  .option('--quick', '1 round of 200 ms unless said otherwise, none taken again: a look, not a result', false)
  .option('--only <ids>', 'these benchmarks only, separated by commas')
  .option('--cpus <a,b>', 'where the virtual CPUs of the measuring and the answering VM run', '0,1')
  .action(runSocketsVm);

sampling('dsm')
  .description(
    'spaces on one host: memory, locks, barriers and applications, beside private memory and messages',
  )
  .option('--rounds <n>', 'samples of each contestant (5)', positive)
  .option('--ms <n>', 'length of one sample, milliseconds (300)', positive)
  .option('--quick', '1 round of 40 ms unless said otherwise, none taken again: a look, not a result', false)
  .option('--only <ids>', 'these benchmarks only, separated by commas')
  .option('--cpus <a,b>', 'the two CPUs', '0,1')
  .action(runDsm);

program
  .command('study')
  .description(
    'the whole study of this machine: experiments, report and summary in study/DATE-MACHINE; goes on where it was interrupted',
  )
  .option('--quick', '3 rounds of 60 ms at few points: a look that ends within 5 minutes', false)
  .option('--folder <folder>', 'instead of study/DATE-MACHINE')
  .option('--rounds <n>', 'samples of each contestant (7; 3 with --quick)', positive)
  .option('--cpus <a,b>', 'where the measuring and the answering side run', '0,1')
  .option('--seed <n>', 'seed of the order', positive, (Date.now() % 2 ** 31) + 1)
  .option('--max-others <share>', 'a sample is noisy when others use more of a CPU than this', Number, 0.1)
  .option('--only <experiments>', 'these only, separated by commas')
  .option('--no-vms', 'without VMs, which need root and an image')
  .option('--no-profiles', 'without flame graphs')
  .addOption(
    new Option('--where <where>', 'between processes of this host, or between VMs').choices(['native', 'vm']),
  )
  .option('--budget <s>', 'begin no sample after so many seconds', positive)
  .action(runStudyHere);

await program.parseAsync();

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError('a whole number from 1 is wanted');
  return value;
}
