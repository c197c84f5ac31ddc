import { IvshmemError } from '../errors/index.ts';
import { ControlClient } from '../host/control/control-client.ts';
import { controlPath } from '../host/control/control-path.ts';
import type { MemberReport } from '../observe/sample.ts';
import { type DeviceFacts, type QemuVm, uriOf, WrongDevice } from './vm.ts';

export interface MigrateOptions {
  /** IDs of all ivshmem-doorbell devices of the VM. */
  readonly devices: readonly string[];
  /** Socket of the region's server on the source's host, as its QEMU and this process reach it. */
  readonly socket: string;
  /** The same on the destination's host, as its QEMU reaches it. */
  readonly toSocket: string;
  /** Where the destination waits (`-incoming`), as the source reaches it; asked of the destination unless given. */
  readonly uri?: string | undefined;
  /** Names or slots of the members in the VM, one for each device; found by QEMU's process unless given. */
  readonly members?: readonly (string | number)[] | undefined;
  /** Buses of the destination for the devices; those of the source's names unless given. */
  readonly toBuses?: readonly string[] | undefined;
  /** Milliseconds for connections to leave shared memory; the rest is made up for over TCP. */
  readonly drainMs: number;
  /** Milliseconds for the guest to let go of each device. */
  readonly unplugMs: number;
  /** Milliseconds for the migration itself. */
  readonly migrateMs: number;
}

/** A device as it is, and as it will be plugged in at the destination. */
export interface DevicePlan {
  readonly facts: DeviceFacts;
  readonly there: DeviceFacts;
}

/** What a migration will do, once everything was looked at. */
export interface Plan {
  readonly devices: readonly DevicePlan[];
  readonly uri: string;
  /** Whether the guest runs, and shall run there. */
  readonly running: boolean;
  /**
   * Whether QEMU itself executes the guest. Then the guest has to be stopped while its memory is copied: what an emulated processor
   * writes meanwhile is not always seen to be new (QEMU before 9.0 forgets it as a rule), and is missing at the destination.
   */
  readonly emulated: boolean;
  /** The drivers' members; none for a device that no program in the guest has. */
  readonly members: readonly MemberReport[];
}

/** Something stands in the way. */
type Refuse = (why: string, hint: string) => never;

/** Looks at both sides and at the source's server, and changes nothing. Throws ERR_IVSHMEM_MIGRATE_CHECK. */
export async function makePlan(
  options: MigrateOptions,
  source: QemuVm,
  pid: number | null,
  destination: QemuVm,
): Promise<Plan> {
  const { devices: ids, toBuses } = options;
  const devices: DevicePlan[] = [];
  for (const [i, id] of ids.entries())
    devices.push(await planDevice(id, toBuses?.[i], source, destination, refusal(id)));
  const refuse = refusal(ids.join(', '));
  if (new Set(ids).size < ids.length) refuse('a device is named twice', 'Name each of them once.');
  const status = await source.status();
  if (!['running', 'paused'].includes(status))
    refuse(`the source is in the state ${status}`, 'Only a guest that was started can be migrated.');
  const waiting = await destination.status();
  if (waiting !== 'inmigrate')
    refuse(
      `the destination is in the state ${waiting}`,
      'Start it with `-incoming`, and give its QMP socket.',
    );
  const uri = options.uri ?? uriOf(await destination.migration());
  if (uri === null)
    return refuse('the destination does not say where it waits', 'Give --uri, as the source reaches it.');
  const [emulated, members] = [await source.emulated(), await findMembers(options, pid, refuse)];
  return { devices, uri, running: status === 'running', emulated, members };
}

const refusal =
  (device: string): Refuse =>
  (why, hint) => {
    throw new IvshmemError('ERR_IVSHMEM_MIGRATE_CHECK', { device, why, hint });
  };

async function planDevice(
  id: string,
  toBus: string | undefined,
  source: QemuVm,
  destination: QemuVm,
  refuse: Refuse,
): Promise<DevicePlan> {
  const facts = await source.device(id).catch((error: unknown) => {
    if (error instanceof WrongDevice) return refuse(error.message, 'Only ivshmem-doorbell is taken along.');
    throw error;
  });
  if (facts === null)
    return refuse('the source has no device of that name', 'Give the `id=` of the ivshmem-doorbell device.');
  if (/^(pcie?|pxb)\.\d+$/.test(facts.bus))
    refuse(
      `it is on the bus ${facts.bus}, which is not for hot-plug`,
      'Put it behind a port: `-device pcie-root-port,id=port0,chassis=1,slot=1,pref64-reserve=1G` and `bus=port0`.',
    );
  if (await destination.has('/machine/peripheral', id))
    refuse(
      'the destination has that device already',
      'Start the destination without it: it is plugged in after the migration.',
    );
  if (await destination.hasChardev(facts.chardev))
    refuse(`the destination has a chardev ${facts.chardev} already`, 'Start the destination without it.');
  return { facts, there: { ...facts, bus: toBus ?? facts.bus } };
}

/** Clients of this QEMU that hold a slot and have no driver attached are left out. */
async function findMembers(
  { devices, socket, members: named }: MigrateOptions,
  pid: number | null,
  refuse: Refuse,
): Promise<MemberReport[]> {
  const client = await ControlClient.connect(controlPath(socket));
  try {
    const { members } = await client.ask({ op: 'members' });
    const isNamed = ({ slot, name, state }: MemberReport): boolean =>
      named!.includes(slot) || (state !== 'joining' && named!.includes(name));
    const found = members.filter((member) => (named === undefined ? member.pid === pid : isNamed(member)));
    const wanted = named?.length ?? devices.length;
    if (found.length === wanted) return found.filter(({ state }) => state !== 'joining');
    const who = named === undefined ? `of the QEMU with the process ID ${pid}` : `named ${named.join(', ')}`;
    const number =
      found.length === 0 ? 'no member' : `${found.length} ${found.length === 1 ? 'member' : 'members'}`;
    return refuse(
      `the server at ${socket} knows ${number} ${who}, not ${wanted}`,
      'Name every ivshmem device of the VM, or give --member (`ivshmem members` lists them), and the --socket of the server they are with.',
    );
  } finally {
    client.close();
  }
}
