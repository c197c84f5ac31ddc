import type { Vm } from '../../qemu/vm.ts';
import type { Taken } from '../sockets/commands.ts';

export interface IperfCommand {
  readonly ms: number;
  readonly warmUpMs: number;
}

/** What is used of `iperf3 --json`. */
interface Report {
  readonly error?: string;
  readonly end?: { readonly sum_received?: { readonly bits_per_second?: number } };
  readonly intervals?: readonly {
    readonly sum: { readonly bits_per_second: number; readonly omitted: boolean };
  }[];
}

/** iperf3 runs whole seconds. */
const seconds = (ms: number): number => Math.max(1, Math.round(ms / 1000));

/** One stream from the measuring guest to the answering one: bytes per second that arrived. @throws Error with what iperf3 said. */
export async function iperf(vm: Vm, address: string, port: number, command: IperfCommand): Promise<Taken> {
  const words = `iperf3 --client ${address} --port ${port} --json --time ${2 * seconds(command.ms)} --omit ${seconds(command.warmUpMs)}`;
  const { stdout, stderr, status } = await vm.run(words);
  return takenOf(stdout, status === 0 ? '' : stderr.trim() || stdout.trim());
}

/** @throws Error when it is no report of a whole run. */
export function takenOf(json: string, said: string): Taken {
  const report = (json.trim().startsWith('{') ? JSON.parse(json) : {}) as Report;
  const bits = report.end?.sum_received?.bits_per_second;
  if (report.error !== undefined || said !== '' || bits === undefined)
    throw new Error(`iperf3: ${report.error ?? (said || 'no report')}`);
  const batches = (report.intervals ?? [])
    .filter(({ sum }) => !sum.omitted)
    .map(({ sum }) => sum.bits_per_second / 8);
  return { value: bits / 8, batches };
}
