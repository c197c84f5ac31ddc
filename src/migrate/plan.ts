import { IvshmemError } from '../errors/index.ts';
import { ControlClient } from '../host/control-client.ts';
import { controlPath } from '../host/control-path.ts';
import type { MemberReport } from '../observe/sample.ts';
import { type DeviceFacts, type QemuVm, uriOf, WrongDevice } from './vm.ts';

export interface MigrateOptions {
  /** ID of the ivshmem-doorbell device. */
  readonly device: string;
  /** Socket of the region's server on the source's host, as its QEMU and this process reach it. */
  readonly socket: string;
  /** The same on the destination's host, as its QEMU reaches it. */
  readonly toSocket: string;
  /** Where the destination waits (`-incoming`), as the source reaches it; asked of the destination unless given. */
  readonly uri?: string | undefined;
  /** Name or slot of the member in the VM; found by QEMU's process unless given. */
  readonly member?: string | number | undefined;
  /** Bus of the destination for the device; that of the source's name unless given. */
  readonly toBus?: string | undefined;
  /** Milliseconds for connections to leave shared memory; the rest is made up for over TCP. */
  readonly drainMs: number;
  /** Milliseconds for the guest to let go of the device. */
  readonly unplugMs: number;
  /** Milliseconds for the migration itself. */
  readonly migrateMs: number;
}

/** What a migration will do, once everything was looked at. */
export interface Plan {
  readonly facts: DeviceFacts;
  /** As it will be plugged in at the destination. */
  readonly there: DeviceFacts;
  readonly uri: string;
  /** Whether the guest runs, and shall run there. */
  readonly running: boolean;
  /** The driver's member; null while no program in the guest has the device. */
  readonly member: MemberReport | null;
}

/** Looks at both sides and at the source's server, and changes nothing. Throws ERR_IVSHMEM_MIGRATE_CHECK. */
export async function makePlan(
  options: MigrateOptions,
  source: QemuVm,
  pid: number | null,
  destination: QemuVm,
): Promise<Plan> {
  const { device } = options;
  const refuse = (why: string, hint: string): never => {
    throw new IvshmemError('ERR_IVSHMEM_MIGRATE_CHECK', { device, why, hint });
  };
  const facts = await source.device(device).catch((error: unknown) => {
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
  const status = await source.status();
  if (!['running', 'paused'].includes(status))
    refuse(`the source is in the state ${status}`, 'Only a guest that was started can be migrated.');
  const waiting = await destination.status();
  if (waiting !== 'inmigrate')
    refuse(
      `the destination is in the state ${waiting}`,
      'Start it with `-incoming`, and give its QMP socket.',
    );
  const there = { ...facts, bus: options.toBus ?? facts.bus };
  if (await destination.has('/machine/peripheral', device))
    refuse(
      'the destination has that device already',
      'Start the destination without it: it is plugged in after the migration.',
    );
  if (await destination.hasChardev(facts.chardev))
    refuse(`the destination has a chardev ${facts.chardev} already`, 'Start the destination without it.');
  const uri = options.uri ?? uriOf(await destination.migration());
  if (uri === null)
    return refuse('the destination does not say where it waits', 'Give --uri, as the source reaches it.');
  return { facts, there, uri, running: status === 'running', member: await findMember(options, pid) };
}

/** Null when a client of this QEMU holds a slot, and no driver is attached. */
async function findMember(
  { device, socket, member: named }: MigrateOptions,
  pid: number | null,
): Promise<MemberReport | null> {
  const client = await ControlClient.connect(controlPath(socket));
  try {
    const { members } = await client.ask({ op: 'members' });
    const found = members.filter(({ slot, name, pid: holder, state }) => {
      if (named === undefined) return holder === pid;
      return typeof named === 'number' ? slot === named : name === named && state !== 'joining';
    });
    if (found.length === 1) return found[0]!.state === 'joining' ? null : found[0]!;
    const who = named === undefined ? `of the QEMU with the process ID ${pid}` : `named ${named}`;
    const why = `the server at ${socket} knows ${found.length === 0 ? 'no member' : 'several members'} ${who}`;
    const hint = 'Give --member (`ivshmem members` lists them), and the --socket of the server it is with.';
    throw new IvshmemError('ERR_IVSHMEM_MIGRATE_CHECK', { device, why, hint });
  } finally {
    client.close();
  }
}
