import { rmSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import { baseImage } from '../guest-image/base.ts';
import { buildPayload } from '../guest-image/payload.ts';
import { programsImage } from '../guest-image/programs.ts';
import { chooseAccelerator } from './accelerator.ts';
import { qemuCommand, shellCommand } from './command.ts';
import { Bridge, cable } from './network.ts';
import type { IvshmemDevice, Network } from './options.ts';
import { runDirectory } from './run-directory.ts';
import { type LaunchOptions, launchVm, type Vm } from './vm.ts';

interface Options {
  readonly name: string;
  readonly count: number;
  readonly memory: number;
  readonly cpus: number;
  readonly network: 'none' | 'user' | 'tap' | 'pair';
  readonly accel?: string;
  readonly server: string[];
  readonly vectors: number;
  readonly plain: IvshmemDevice[];
  readonly device: string[];
  readonly ports: number;
  readonly programs?: boolean;
  readonly iommu: boolean;
  readonly append?: string;
  readonly run?: string;
  readonly print?: boolean;
}

const positive = (text: string): number => {
  if (/^[1-9]\d{0,6}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Not a positive number.');
};
const collect = (text: string, earlier: string[]): string[] => [...earlier, text];
const plain = (text: string, earlier: IvshmemDevice[]): IvshmemDevice[] => {
  const [, memory, size, unit] = /^(.+):(\d+)([KMG]?)$/.exec(text) ?? [];
  const bytes = Number(size) * { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 }[unit ?? '']!;
  if (!memory || !(bytes > 0))
    throw new InvalidArgumentError('Expected FILE:SIZE, such as /dev/shm/region:16M.');
  return [...earlier, { kind: 'plain', memory, size: bytes }];
};

const program = new Command('qemu/launch.ts')
  .description('Boots VMs of the guest image. Prints the full QEMU commands; ends the VMs when interrupted.')
  .option('--name <name>', 'name of the VM; several are name1, name2, ...', 'vm')
  .option('--count <n>', 'how many', positive, 1)
  .option('--memory <MiB>', 'memory of each', positive, 512)
  .option('--cpus <n>', 'virtual CPUs of each', positive, 1)
  .addOption(new Option('--network <kind>', 'eth0').choices(['none', 'user', 'tap', 'pair']).default('none'))
  .option('--accel <name>', 'kvm, tcg or a value for -accel; without it, KVM where it really boots the guest')
  .option('--server <socket>', 'an ivshmem-doorbell device of this ivshmem server (repeatable)', collect, [])
  .option('--vectors <n>', 'doorbells of each such device, as many as its server gives', positive, 2)
  .option('--plain <file:size>', 'an ivshmem-plain device on this file (repeatable)', plain, [])
  .option('--device <value>', 'one more QEMU -device (repeatable)', collect, [])
  .option('--ports <n>', 'empty slots for hot-plug, named port0, port1, ...', positive, 0)
  .option('--programs', 'the disk with redis-server, postgres, nginx, curl and iperf3')
  .option('--no-iommu', 'leave out the IOMMU, and with it vfio-pci')
  .option('--append <words>', "more words for the guest kernel's command line")
  .option('--run <command>', 'run this in each VM, print what it writes, power off')
  .option('--print', 'print the commands and start nothing');

async function networks(options: Options, close: (() => Promise<void>)[]): Promise<(Network | undefined)[]> {
  const { count, network, print } = options;
  if (network === 'none') return Array(count).fill(undefined);
  if (network === 'user') return Array(count).fill({ kind: 'user' });
  if (network === 'pair') {
    if (count !== 2)
      program.error('error: --network pair is a cable between two VMs. Give --count 2, or --network tap.');
    const directory = runDirectory();
    close.push(async () => rmSync(directory, { recursive: true, force: true }));
    return cable(directory);
  }
  if (print) program.error('error: --network tap needs devices that only a start makes. Leave out --print.');
  const bridge = await Bridge.create();
  close.push(() => bridge.close());
  const taps: Network[] = [];
  for (let index = 0; index < count; index++) taps.push(await bridge.attach());
  return taps;
}

function vmOptions(options: Options, index: number, network: Network | undefined): LaunchOptions {
  const { name, count, memory, cpus, server, vectors, plain, device, ports, programs, iommu, append } =
    options;
  const doorbells: IvshmemDevice[] = server.map((path) => ({ kind: 'doorbell', server: path, vectors }));
  return {
    name: count === 1 ? name : `${name}${index + 1}`,
    ...{ memory, cpus, network, ports, programs, iommu, append, devices: device },
    ivshmem: [...doorbells, ...plain],
    log: (line) => console.error(line),
  };
}

async function print(all: readonly LaunchOptions[]): Promise<void> {
  const image = await baseImage({ log: (line) => console.error(line) });
  const [payload, accelerator] = [await buildPayload({}), await chooseAccelerator(image)];
  const programs = all.some((one) => one.programs) ? await programsImage(image) : undefined;
  for (const options of all) {
    const directory = `/tmp/${options.name}`;
    console.log(shellCommand(qemuCommand(options, { ...image, payload, programs, accelerator, directory })));
  }
}

async function runInEach(vms: readonly Vm[], command: string): Promise<void> {
  for (const vm of vms) {
    const { status, signal, stdout, stderr } = await vm.run(command, { timeout: undefined });
    process.stdout.write(stdout.replace(/^(?=.)/gm, vms.length > 1 ? `${vm.name}: ` : ''));
    process.stderr.write(stderr);
    if (status !== 0) {
      console.error(`${vm.name}: ended with ${status ?? signal}`);
      process.exitCode = 1;
    }
  }
  await Promise.all(vms.map((vm) => vm.powerOff()));
}

async function main(): Promise<void> {
  const options = program.parse().opts<Options>();
  if (options.accel) process.env.ACCEL = options.accel;
  const close: (() => Promise<void>)[] = [];
  const vms: Vm[] = [];
  const interrupted = new Promise<void>((resolve) => {
    process.once('SIGINT', resolve).once('SIGTERM', resolve);
  });
  try {
    const all = (await networks(options, close)).map((network, index) => vmOptions(options, index, network));
    if (options.print) return await print(all);
    // One after the other up to QEMU's start, which builds what is missing once; the guests boot side by side.
    for (const one of all) vms.push(await launchVm(one));
    const work = async () => {
      await Promise.all(vms.map((vm) => vm.ready()));
      for (const vm of vms) console.error(`${vm.name}: up, process ${vm.pid}, files in ${vm.directory}`);
      if (options.run !== undefined) await runInEach(vms, options.run);
      else await Promise.all(vms.map((vm) => vm.exited()));
    };
    await Promise.race([work(), interrupted]);
  } finally {
    await Promise.all(vms.map((vm) => vm.kill()));
    for (const one of close) await one();
  }
}

try {
  await main();
} catch (error) {
  console.error(`launch: ${(error as Error).message}`);
  process.exitCode = 1;
}
