import { closeSync, openSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { IvshmemError, isIvshmemError } from '../../errors/index.ts';
import type { IvshmemDevice } from '../../ivshmem/index.ts';
import { Attachment, type Membership, Views } from '../../membership/index.ts';
import { binding, type Mapping } from '../../native/binding.ts';
import { RegionView } from '../../observe/region-view.ts';
import type { MembersReport, RegionSample, SpacesReport } from '../../observe/sample.ts';
import { eventReport, memberReport } from '../../observe/tables.ts';
import type { PciFunction } from '../../pci/sysfs.ts';
import { enableMemory } from '../../setup/region-peek.ts';
import { selectDevices } from '../../setup/select.ts';
import { liveSystem, type System } from '../../setup/system.ts';
import type { Source, Update } from './source.ts';

const LOOK_EVERY_MS = 1000;

/**
 * The region behind an ivshmem device of this machine, without becoming a member of it. Null when there is no device and none was
 * asked for. A device of vfio-pci that nobody has open is opened, for its interrupts; otherwise its memory is looked at.
 */
export async function openDeviceSource(
  selector: string | undefined,
  system: System = liveSystem(),
): Promise<Source | null> {
  let device: PciFunction;
  try {
    device = (await selectDevices(system, selector === undefined ? [] : [selector]))[0]!;
  } catch (error) {
    if (selector === undefined && isIvshmemError(error, 'ERR_IVSHMEM_DEVICE_ABSENT')) return null;
    throw error;
  }
  // A second user of a UIO device would take the marks of the first, and has no interrupts to gain.
  if (device.driver !== 'vfio-pci') return MappedSource.open(device, system);
  const { openDevice } = await import('../../ivshmem/index.ts');
  try {
    const opened = await openDevice({ address: device.address.toString(), backend: 'vfio' });
    return new OpenedSource(opened);
  } catch (error) {
    if (!isIvshmemError(error)) throw error;
    return MappedSource.open(device, system, error);
  }
}

/** A device that is ours while this lasts: the server rings it when there is a new view. */
class OpenedSource implements Source {
  readonly note = null;
  readonly #device: IvshmemDevice;
  readonly #view: RegionView;
  #attachment: Attachment | null = null;
  #membership: Membership | null = null;

  constructor(device: IvshmemDevice) {
    this.#device = device;
    try {
      this.#view = new RegionView(device.memory, device.on);
    } catch (error) {
      device.close();
      throw error;
    }
  }

  async members(): Promise<MembersReport> {
    return membersOf(this.#view);
  }

  async sample(): Promise<RegionSample> {
    return this.#view.sample();
  }

  async spaces(): Promise<SpacesReport> {
    return { region: this.#view.header.name, spaces: this.#view.spaces() };
  }

  async *updates(): AsyncGenerator<Update, void> {
    // No HELLO: the region knows only that the slot's holder watches.
    let views: Views | null = null;
    this.#attachment = new Attachment(
      this.#device,
      { name: 'watcher' },
      {
        channel: () => {},
        control: () => views?.serve(),
        traffic: () => ({
          messagesSent: 0,
          bytesSent: 0,
          messagesReceived: 0,
          bytesReceived: 0,
          channelsOpened: 0,
          channelsEnded: 0,
          socketsOpened: 0,
          socketsClosed: 0,
          socketsToSharedMemory: 0,
          socketsToTcp: 0,
        }),
      },
    );
    views = new Views(this.#attachment);
    this.#membership = await views.open({});
    const events = this.#membership[Symbol.asyncIterator]();
    const { view } = this.#membership;
    const members = this.#membership.list().map(memberReport);
    yield { event: 'members', region: this.#view.header.name, view, members };
    for await (const event of events) yield eventReport(event);
  }

  close(): void {
    this.#membership?.close();
    if (this.#attachment === null) this.#device.close();
    else this.#attachment.shut();
  }
}

/** A device that another program has: its memory is mapped, read-only, and looked at. */
class MappedSource implements Source {
  readonly note =
    `nobody rings for this command: it looks every ${LOOK_EVERY_MS / 1000} s, because the device is not free or has no interrupts`;
  readonly #mapping: Mapping;
  readonly #view: RegionView;
  readonly #disable: () => void;
  readonly #done = new AbortController();

  private constructor(mapping: Mapping, view: RegionView, disable: () => void) {
    this.#mapping = mapping;
    this.#view = view;
    this.#disable = disable;
  }

  /** Throws ERR_IVSHMEM_MEMBERS_HIDDEN, with `cause` why the device could not be opened. */
  static open(device: PciFunction, system: System, cause?: IvshmemError): MappedSource {
    const on = device.address.toString();
    let disable = () => {};
    try {
      if (system.uid === 0) disable = once(enableMemory(device));
      const mapping = mapMemory(device);
      try {
        return new MappedSource(mapping, new RegionView(mapping.buffer, on), disable);
      } catch (error) {
        mapping.close();
        throw error;
      }
    } catch (error) {
      disable();
      if (isIvshmemError(error)) throw error;
      const busy = isIvshmemError(cause, 'ERR_IVSHMEM_GROUP_BUSY');
      const why = `${busy ? 'another program has the device, and ' : ''}its memory cannot be mapped: ${(error as Error).message}`;
      const hint =
        'Run this as root, or in the program that has the device: `region.membership()`. On the host `ivshmem members --socket` shows the same.';
      throw new IvshmemError('ERR_IVSHMEM_MEMBERS_HIDDEN', { on, why, hint }, { cause: cause ?? error });
    }
  }

  async members(): Promise<MembersReport> {
    this.#view.read();
    return membersOf(this.#view);
  }

  async sample(): Promise<RegionSample> {
    return this.#view.sample();
  }

  async spaces(): Promise<SpacesReport> {
    return { region: this.#view.header.name, spaces: this.#view.spaces() };
  }

  async *updates(): AsyncGenerator<Update, void> {
    const { signal } = this.#done;
    yield { event: 'members', ...membersOf(this.#view) };
    while (!signal.aborted) {
      for (const event of this.#view.read()) yield eventReport(event);
      await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => {});
    }
  }

  close(): void {
    this.#done.abort();
    this.#mapping.close();
    this.#disable();
  }
}

function membersOf(view: RegionView): MembersReport {
  return { region: view.header.name, view: view.view, members: view.members().map(memberReport) };
}

/** close() may come from a signal and again at the end, and the kernel counts. */
function once(disable: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    try {
      disable();
    } catch (error) {
      // A driver was bound meanwhile, which counts for itself, or the device was unplugged.
      if (!['EBUSY', 'ENODEV', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  };
}

function mapMemory(device: PciFunction): Mapping {
  const fd = openSync(device.resourcePath(2), 'r');
  try {
    return binding.mapFile(fd, 0, device.resources()[2]?.sizeBytes ?? 0, false);
  } finally {
    closeSync(fd);
  }
}
