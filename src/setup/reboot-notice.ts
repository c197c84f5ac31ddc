import { closeSync, fstatSync, openSync } from 'node:fs';
import { DOORBELL, doorbellValue, fence, IV_POSITION } from '../backend/registers.ts';
import { isIvshmemError } from '../errors/index.ts';
import { readHeader } from '../memory/header.ts';
import { MEMBER_W, PAGE_BYTES, SERVER_SLOT, SLOT_ATTACHED, SLOT_BYTES, SLOT_W } from '../memory/layout.ts';
import { REASON_REBOOTED } from '../memory/membership.ts';
import { post } from '../memory/pending.ts';
import type { Mapping } from '../native/binding.ts';
import type { PciFunction } from '../pci/sysfs.ts';
import { enableMemory } from './region-peek.ts';

const PAGE_WORDS = PAGE_BYTES / 4;
const NOTIFY_VECTOR = 0;

/** Maps `bytes` of a file for reading and writing. */
export type MapFile = (path: string, bytes: number) => Promise<Mapping>;

/**
 * Tells the server that the member which used this device died with the last boot of the VM: writes the obituary of whoever the
 * slot table still shows, and rings. Only for a device without a driver, which nobody can be using. QEMU's connection outlives
 * a reboot, so without this the member would seem to live until the program says HELLO again. Never throws.
 *
 * @returns what was done or why not, in words; undefined when there was nobody to bury
 */
export async function noticeReboot(device: PciFunction, map: MapFile = mapFile): Promise<string | undefined> {
  const bytes = device.resources()[2]?.sizeBytes ?? 0;
  if (device.driver !== undefined || bytes < PAGE_BYTES) return undefined;
  const mappings: Mapping[] = [];
  let disable = (): void => {};
  try {
    disable = enableMemory(device);
    mappings.push(await map(device.resourcePath(0), PAGE_BYTES));
    mappings.push(await map(device.resourcePath(2), bytes));
    const [registers, memory] = mappings.map(({ buffer }) => buffer);
    return writeObituary(new Uint32Array(registers!), memory!);
  } catch (error) {
    // Not a region of this package's server.
    if (isIvshmemError(error)) return undefined;
    return `whether a member died with the last boot is not known: ${(error as Error).message}`;
  } finally {
    for (const mapping of mappings) mapping.close();
    disable();
  }
}

/** Throws what readHeader does: a region of another server has nobody to tell. */
function writeObituary(registers: Uint32Array, memory: ArrayBuffer): string | undefined {
  const header = readHeader(memory);
  const slot = registers[IV_POSITION / 4]! & 0xffff;
  if (header.membershipPage === 0 || slot <= SERVER_SLOT || slot >= header.slots) return undefined;
  const words = new Int32Array(memory, 0, header.heapPage * PAGE_WORDS);
  const entry = header.slotTablePage * PAGE_WORDS + (slot * SLOT_BYTES) / 4;
  // Acquire: pairs with the server's release of the state, which comes after the generation.
  if (Atomics.load(words, entry + SLOT_W.state) !== SLOT_ATTACHED) return undefined;
  const generation = words[entry + SLOT_W.generation]!;
  const block = (header.memberPage + slot) * PAGE_WORDS;
  // A guardian or the program itself has said so already.
  if (generation === 0 || Atomics.load(words, block + MEMBER_W.obituary) === generation) return undefined;
  words[block + MEMBER_W.obituaryReason] = REASON_REBOOTED;
  // Release: pairs with the server's acquire of the obituary, after which it reads the reason.
  Atomics.store(words, block + MEMBER_W.obituary, generation);
  post(words, (header.memberPage + SERVER_SLOT) * PAGE_WORDS, slot);
  fence();
  // Rung whatever post() said: the dead may have taken `armed` and died before it rang.
  registers[DOORBELL / 4] = doorbellValue(SERVER_SLOT, NOTIFY_VECTOR);
  return `told the region that the member in slot ${slot} died with the last boot`;
}

async function mapFile(path: string, bytes: number): Promise<Mapping> {
  // Loaded on demand: the other commands must work where the addon is absent.
  const { binding } = await import('../native/binding.ts');
  const fd = openSync(path, 'r+');
  try {
    // BAR0 has 256 bytes on a page of its own. A load behind the end of the last page would be a SIGBUS.
    if (Math.ceil(fstatSync(fd).size / PAGE_BYTES) * PAGE_BYTES < bytes)
      throw new Error(`${path} is shorter than the BAR`);
    return binding.mapFile(fd, 0, bytes, true);
  } finally {
    closeSync(fd);
  }
}
