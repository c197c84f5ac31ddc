import type { Test } from 'tap';
import type { RunResult } from '../../../qemu/agent-client.ts';
import type { GuestProcess } from '../../../qemu/guest-process.ts';
import type { Vm } from '../../../qemu/vm.ts';
import type { Update } from '../../../src/cli/region/source.ts';
import { ControlClient } from '../../../src/host/control/control-client.ts';
import { controlPath } from '../../../src/host/control/control-path.ts';
import type { EventReport, MemberSample, MembersReport, RegionSample } from '../../../src/observe/sample.ts';
import { until } from '../../support/protocol/until.ts';
import type { Fleet } from './fleet.ts';

/** An emulated guest takes seconds to start a program, and on a busy machine much longer. */
const DEADLINE_MS = 180_000;

/** Asks the server of the fleet, which knows without looking into the shared memory. */
async function ask<T>(fleet: Fleet, question: (client: ControlClient) => Promise<T>): Promise<T> {
  const client = await ControlClient.connect(controlPath(fleet.socket));
  try {
    return await question(client);
  } finally {
    client.close();
  }
}

/** The server asks all members for their counters, and takes the last ones of a member that is late, as emulated ones may be. */
async function freshSample(fleet: Fleet): Promise<RegionSample> {
  let sample!: RegionSample;
  await until(
    'everybody answers the server in time',
    async () => {
      ({ sample } = await ask(fleet, (client) => client.ask({ op: 'sample' })));
      return sample.members.every(({ state, answered }) => state !== 'active' || answered);
    },
    DEADLINE_MS / 1000,
  );
  return sample;
}

export const serversMembers = (fleet: Fleet): Promise<MembersReport> =>
  ask(fleet, async (client) => {
    const { region, view, members } = await client.ask({ op: 'members' });
    return { region, view, members };
  });

const run = (vm: Vm, ...words: string[]) => vm.run(['ivshmem', ...words], { timeout: DEADLINE_MS });

/** It speaks on one stream only, whichever way it ends. */
function ended(t: Test, { status, stdout, stderr }: RunResult, wanted: 0 | 1, what: string): void {
  t.strictSame([status, wanted === 0 ? stderr : stdout], [wanted, ''], what);
}

/** `ivshmem members` and `ivshmem top` in a VM show what the server knows, whoever has the VM's device. */
export async function seesEverybody(t: Test, fleet: Fleet, vm: Vm): Promise<void> {
  const truth = await serversMembers(fleet);
  const json = await run(vm, 'members', '--json');
  ended(t, json, 0, 'members --json');
  t.strictSame(JSON.parse(json.stdout), truth, 'each member as the server knows it, as of the same view');

  const text = await run(vm, 'members');
  ended(t, text, 0, 'members');
  const [head, , ...rows] = text.stdout.trim().split('\n');
  t.match(head, `region ${truth.region}, view ${truth.view}: `);
  t.strictSame(
    rows.map((row) => row.split(/ +/).slice(0, 4)),
    truth.members.map(({ slot, epoch, name, state }) => [`${slot}`, `${epoch}`, name || '-', state]),
    'and as text',
  );

  const asked = await freshSample(fleet);
  const top = await run(vm, 'top', '--once', '--json');
  ended(t, top, 0, 'top --once --json');
  const sample = JSON.parse(top.stdout) as RegionSample;
  const { region, view, sizeBytes, slots, channelEntries, heapBytes } = asked;
  // Nothing is sent meanwhile.
  t.match(sample, { region, view, sizeBytes, slots, channelEntries, heapBytes, freeHeapBytes: null });
  t.strictSame(sample.members.map(described), truth.members, 'the same members');
  t.strictSame(sample.members.map(traffic), asked.members.map(traffic), 'and what they carried');
  t.strictSame(sample.channels, asked.channels, 'the same channels');
}

/** Without a driver the device's memory is enabled to be looked at, and not longer: the kernel counts. */
export async function leavesDisabled(t: Test, fleet: Fleet, vm: Vm): Promise<void> {
  const counts = () => vm.check('cat /sys/bus/pci/devices/*/enable');
  const before = await counts();
  await seesEverybody(t, fleet, vm);
  t.equal(await counts(), before, 'as it was');
}

/** `ivshmem members` and `ivshmem top` in a VM whose kernel does not let them look say why, and what else to do. */
export async function seesNobody(t: Test, vm: Vm): Promise<void> {
  for (const command of [
    ['members', '--json'],
    ['members', '--watch', '--json'],
    ['top', '--once', '--json'],
  ]) {
    const said = await run(vm, ...command);
    ended(t, said, 1, command.join(' '));
    t.match(
      said.stderr,
      /another program has the device(.|\n)*membership\(\)(.|\n)*\[ERR_IVSHMEM_MEMBERS_HIDDEN\]/,
    );
  }
}

function described({ statistics: _, answered: _answered, ...member }: MemberSample): object {
  return member;
}

/** Of the counters those that stay while nothing is sent. */
function traffic({ name, statistics }: MemberSample): object {
  const { messagesSent, bytesSent, messagesReceived, bytesReceived, channelsOpened } = statistics;
  return { name, messagesSent, bytesSent, messagesReceived, bytesReceived, channelsOpened };
}

/** `ivshmem members --watch --json` in a VM whose device is free. */
export class Onlooker {
  readonly #vm: Vm;
  readonly #process: GuestProcess;

  constructor(vm: Vm) {
    this.#vm = vm;
    this.#process = vm.spawn(['ivshmem', 'members', '--watch', '--json']);
  }

  /** All it has printed. */
  get lines(): Update[] {
    const whole = this.#process.stdout.split('\n').slice(0, -1);
    return whole.map((line) => JSON.parse(line) as Update);
  }

  /** Resolves with who was there when it began to watch. */
  async begun(): Promise<MembersReport> {
    await this.#process.waitFor(/^\{"event":"members".*$/m, DEADLINE_MS);
    const [{ event: _, ...report }] = this.lines as [{ event: 'members' } & MembersReport];
    return report;
  }

  /** Resolves with the event of a member once it is told. */
  async event(type: EventReport['event'], name: string): Promise<EventReport> {
    await this.#process.waitFor(new RegExp(`^{"event":"${type}",.*"name":"${name}".*$`, 'm'), DEADLINE_MS);
    return this.lines.find((line): line is EventReport => line.event === type && line.member.name === name)!;
  }

  /** How often the device has interrupted the guest since the watching began. */
  async interrupts(): Promise<number> {
    const lines = await this.#vm.check('grep vfio /proc/interrupts');
    return lines
      .trim()
      .split('\n')
      .flatMap((line) => line.replace(/^.*?:/, '').trim().split(/ +/).slice(0, -1))
      .filter((word) => /^\d+$/.test(word))
      .reduce((sum, count) => sum + Number(count), 0);
  }

  /** Ends it as a user would. Resolves with its exit status and what it said on stderr. */
  async end(): Promise<{ status: number | null; stderr: string }> {
    this.#process.kill('SIGINT');
    const { status, stderr } = await this.#process.wait();
    return { status, stderr };
  }
}
