import t from 'tap';
import { PciAddress } from '../../src/pci/address.ts';

t.test('reads both spellings and writes the one of sysfs', async (t) => {
  t.equal(String(PciAddress.parse('0000:00:05.0')), '0000:00:05.0');
  t.equal(String(PciAddress.parse('00:1f.7')), '0000:00:1f.7');
  t.equal(String(PciAddress.parse('10000:E1:0A.3')), '10000:e1:0a.3');
  t.match(PciAddress.parse('abcd:fe:1f.7'), { domain: 0xabcd, bus: 0xfe, device: 0x1f, function: 7 });
});

t.test('refuses everything else', async (t) => {
  for (const text of ['', '5.0', '00:20.0', '00:05.8', '00:05', '0:00:05.0', '0000:00:05.0 ', 'my-region']) {
    t.equal(PciAddress.parse(text), undefined, text);
  }
});

t.test('compares by value', async (t) => {
  t.ok(PciAddress.parse('00:05.0')!.equals(new PciAddress(0, 0, 5, 0)));
  t.notOk(PciAddress.parse('00:05.0')!.equals(new PciAddress(0, 0, 5, 1)));
});
