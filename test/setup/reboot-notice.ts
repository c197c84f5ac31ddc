import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { writeHeader } from '../../src/memory/header.ts';
import {
  MEMBER_W,
  PAGE_BYTES,
  SLOT_ATTACHED,
  SLOT_BYTES,
  SLOT_OCCUPIED,
  SLOT_W,
  tablePages,
} from '../../src/memory/layout.ts';
import { REASON_CRASHED, REASON_REBOOTED } from '../../src/memory/membership.ts';
import { noticeReboot } from '../../src/setup/reboot-notice.ts';
import { ADDRESS, machine } from './fixtures/machine.ts';

const BYTES = 1 << 20;
const SLOTS = 8;
const CHANNELS = 32;
const SLOT = 5;
const GENERATION = 0x7001;
const pages = tablePages(SLOTS, CHANNELS);
const entry = (pages.slotTablePage * PAGE_BYTES + SLOT * SLOT_BYTES) / 4;
const block = ((pages.memberPage + SLOT) * PAGE_BYTES) / 4;
const server = (pages.memberPage * PAGE_BYTES) / 4;

/** A machine with one device whose BARs are files, and a region in which `slot` is attached. */
function booted(t: Test, { slot = SLOT, driver = undefined as string | undefined } = {}) {
  const m = machine(t, {
    functions: { [ADDRESS]: { memoryBytes: BYTES, ...(driver ? { driver, iommuGroup: 1 } : {}) } },
  });
  const device = m.device();
  const words = new Int32Array(BYTES / 4);
  writeHeader(words.buffer, {
    regionBytes: BYTES,
    slots: SLOTS,
    vectors: 2,
    channels: CHANNELS,
    uuid: new Uint8Array(16),
    name: 'blue',
  });
  words[entry + SLOT_W.state] = SLOT_ATTACHED;
  words[entry + SLOT_W.generation] = GENERATION;
  const registers = Buffer.alloc(256);
  registers.writeUInt32LE(slot, 8);
  const save = (): void => {
    writeFileSync(device.resourcePath(2), new Uint8Array(words.buffer));
    writeFileSync(device.resourcePath(0), registers);
  };
  save();
  const seen = () => {
    const memory = readFileSync(device.resourcePath(2));
    const word = (at: number): number => memory.readInt32LE(at * 4);
    return {
      obituary: word(block + MEMBER_W.obituary),
      reason: word(block + MEMBER_W.obituaryReason),
      mark: word(server + MEMBER_W.summary),
      doorbell: readFileSync(device.resourcePath(0)).readInt32LE(12),
    };
  };
  return { m, device, words, save, seen };
}

const nothing = { obituary: 0, reason: 0, mark: 0, doorbell: 0 };

t.test('the member of the last boot is buried, and the server rung', async (t) => {
  const { m, device, words, save, seen } = booted(t);
  // The server is peer 0 and its vector 0: what is rung is 0, so something else has to be there before.
  const registers = readFileSync(device.resourcePath(0));
  registers.writeInt32LE(-1, 12);
  writeFileSync(device.resourcePath(0), registers);
  t.match(await noticeReboot(device), /slot 5 died/);
  t.strictSame(seen(), { obituary: GENERATION, reason: REASON_REBOOTED, mark: 1 << SLOT, doorbell: 0 });
  const enable = `sys/bus/pci/devices/${ADDRESS}/enable`;
  t.same(m.fake.writes, [`${enable}=1`, `${enable}=0`], 'memory space was on meanwhile');

  words[block + MEMBER_W.obituary] = GENERATION;
  words[block + MEMBER_W.obituaryReason] = REASON_CRASHED;
  save();
  t.equal(await noticeReboot(device), undefined);
  t.match(seen(), { reason: REASON_CRASHED, mark: 0 }, 'who said so before knows better');
});

t.test('nobody to bury', async (t) => {
  for (const prepare of [
    (words: Int32Array) => {
      words[entry + SLOT_W.state] = SLOT_OCCUPIED;
    },
    (words: Int32Array) => {
      words[entry + SLOT_W.generation] = 0;
    },
    (words: Int32Array) => void words.fill(0, 0, PAGE_BYTES / 4),
  ]) {
    const { device, words, save, seen } = booted(t);
    prepare(words);
    save();
    t.equal(await noticeReboot(device), undefined);
    t.strictSame(seen(), nothing);
  }
  for (const slot of [0, SLOTS, 0xffff]) {
    const { device, seen } = booted(t, { slot });
    t.equal(await noticeReboot(device), undefined, `slot ${slot}`);
    t.match(seen(), { mark: 0, doorbell: 0 });
  }
  const driven = booted(t, { driver: 'vfio-pci' });
  t.equal(await noticeReboot(driven.device), undefined, 'a device with a driver may have a user');
  t.strictSame(driven.seen(), nothing);
});

t.test('what cannot be known is said', async (t) => {
  const short = booted(t);
  truncateSync(short.device.resourcePath(2), 100);
  t.match(await noticeReboot(short.device), /not known: .*shorter/);
  const refused = booted(t);
  refused.m.fake.failWrites('/enable', 'EPERM');
  t.match(await noticeReboot(refused.device), /not known: .*EPERM/);
  const small = machine(t, { functions: { [ADDRESS]: { memoryBytes: 0 } } });
  t.equal(await noticeReboot(small.device()), undefined);
});
