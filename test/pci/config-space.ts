import t from 'tap';
import { ConfigSpace, PCI_CAP_ID_MSIX, PCI_CAP_ID_VNDR } from '../../src/pci/config-space.ts';
import { readMsix } from '../../src/pci/msix.ts';
import { configBytes } from '../../src/testing/fake-config.ts';

t.test('decodes the header (PCI 3.0 §6.1)', async (t) => {
  const bytes = configBytes({});
  bytes.writeUInt16LE(0x0406, 4);
  const config = new ConfigSpace(bytes);
  t.match(config, { vendorId: 0x1af4, deviceId: 0x1110, revision: 1, command: 0x406 });
  t.match(config, { memorySpace: true, busMaster: true, bridge: false, hasCapabilityArea: true });
  bytes.writeUInt16LE(0, 4);
  bytes.writeUInt8(0x81, 0x0e);
  t.match(config, { memorySpace: false, busMaster: false, bridge: true });
  t.throws(() => new ConfigSpace(Buffer.alloc(63)), RangeError);
});

t.test('walks the capability list (PCI 3.0 §6.7)', async (t) => {
  const bytes = configBytes({});
  bytes.writeUInt8(0x63, 0x41); // reserved low bits set
  bytes.writeUInt8(PCI_CAP_ID_VNDR, 0x60);
  const config = new ConfigSpace(bytes);
  t.same(config.capabilities(), [
    { id: PCI_CAP_ID_MSIX, offset: 0x40 },
    { id: PCI_CAP_ID_VNDR, offset: 0x60 },
  ]);
  t.same(config.findCapability(PCI_CAP_ID_VNDR), { id: PCI_CAP_ID_VNDR, offset: 0x60 });
  t.equal(config.findCapability(0x05), undefined);
});

t.test('a list that lies ends', async (t) => {
  const loop = configBytes({});
  loop.writeUInt8(0x40, 0x41);
  t.equal(new ConfigSpace(loop).capabilities().length, 1, 'a capability that names itself');
  const header = configBytes({});
  header.writeUInt8(0x10, 0x34);
  t.same(new ConfigSpace(header).capabilities(), [], 'a pointer into the header');
  const outside = new ConfigSpace(configBytes({}).subarray(0, 64));
  t.same(outside.capabilities(), [], 'what an unprivileged reader sees');
  t.equal(outside.hasCapabilityArea, false);
  const none = new ConfigSpace(configBytes({ vectors: 0 }));
  t.same(none.capabilities(), [], 'Status says there is none');
  const long = configBytes({});
  for (let at = 0x40; at < 0xfc; at += 4) long.writeUInt8(at + 4, at + 1);
  t.equal(new ConfigSpace(long).capabilities().length, 48, 'every possible place once');
});

t.test('any 256 bytes are survived', async (t) => {
  let state = 1;
  for (let round = 0; round < 500; round++) {
    const random = Buffer.alloc(256);
    for (let i = 0; i < 256; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      random[i] = state >>> 24;
    }
    const config = new ConfigSpace(round % 2 === 0 ? random : random.subarray(0, 64 + (round % 192)));
    const offsets = config.capabilities().map((capability) => capability.offset);
    if (new Set(offsets).size !== offsets.length) t.fail('a capability came twice');
    const msix = readMsix(config);
    if (msix !== undefined && (msix.vectors < 1 || msix.vectors > 2048)) t.fail('impossible table size');
  }
  t.pass('500 random configuration spaces');
});

t.test('MSI-X (PCI 3.0 §6.8.2)', async (t) => {
  const bytes = configBytes({ vectors: 33 });
  bytes.writeUInt16LE(32 | 0xc000, 0x42);
  t.same(readMsix(new ConfigSpace(bytes)), {
    offset: 0x40,
    vectors: 33,
    enabled: true,
    masked: true,
    tableBar: 1,
    tableOffset: 0,
    pbaBar: 1,
    pbaOffset: 0x800,
  });
  t.equal(readMsix(new ConfigSpace(configBytes({ vectors: 0 }))), undefined, 'ivshmem-plain');
  const cut = configBytes({}).subarray(0, 0x48);
  t.equal(readMsix(new ConfigSpace(cut)), undefined, 'cut off in the middle');
});
