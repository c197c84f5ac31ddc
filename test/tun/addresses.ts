import t from 'tap';
import { isIvshmemError } from '../../src/errors/index.ts';
import { SERVICE_BYTES } from '../../src/memory/layout.ts';
import { TunAddresses } from '../../src/tun/addresses.ts';
import { readOffer, serviceName } from '../../src/tun/offer.ts';

t.test('our own addresses', (t) => {
  const { own } = new TunAddresses(['10.77.0.1/24', 'FD77:0::1/64']);
  t.strictSame(own, ['10.77.0.1', 'fd77::1']);
  for (const [given, why] of [
    [[], 'there is none'],
    [['10.77.0.1'], 'prefix length'],
    [['10.77.0.1/33'], 'prefix length'],
    [['10.77.0.1/0'], 'prefix length'],
    [['fd77::1/129'], 'prefix length'],
    [['host/24'], 'not an address'],
    [['fe80::1%eth0/64'], 'not an address'],
    [['10.77.0.1/24', '10.78.0.1/24'], 'two of IPv4'],
    [['127.0.0.1/8'], 'no address of one host'],
    [['224.0.0.1/4'], 'no address of one host'],
    [['fe80::1/64'], 'no address of one host'],
  ] as const) {
    let error: unknown;
    try {
      new TunAddresses(given);
    } catch (caught) {
      error = caught;
    }
    t.ok(isIvshmemError(error, 'ERR_IVSHMEM_TUN_ADDRESS'), given.join(' '));
    t.ok((error as Error).message.includes(why), why);
  }
  t.end();
});

t.test('what a peer may claim', (t) => {
  const addresses = new TunAddresses(['10.77.0.1/24', 'fd77::1/64']);
  for (const [claimed, accepted] of [
    [['10.77.0.2'], ['10.77.0.2']],
    [
      ['10.77.0.2', 'fd77::2'],
      ['10.77.0.2', 'fd77::2'],
    ],
    [[], []],
    [[''], []],
    [['10.78.0.2'], []],
    [['8.8.8.8', '10.77.0.3'], ['10.77.0.3']],
    [['10.77.0.1'], []],
    [['fd77::0:2'], []],
    [['fd78::2'], []],
    [['::ffff:10.77.0.2'], []],
    [['fd77::2%eth0'], []],
    [['10.77.0.2 ', '-h'], []],
  ] as const) {
    t.strictSame(addresses.ofPeer(claimed), accepted, claimed.join());
  }
  t.end();
});

t.test('what interfaces tell each other', (t) => {
  const one = { addresses: ['10.77.0.1', 'fd77::1'], queues: 4, udpSegmentation: true };
  t.equal(serviceName(one), 'tun:10.77.0.1,fd77::1,4u');
  t.strictSame(readOffer(serviceName(one)), one);
  const longest = {
    addresses: ['255.255.255.255', `1111${':1111'.repeat(7)}`],
    queues: 16,
    udpSegmentation: true,
  };
  t.ok(Buffer.byteLength(serviceName(longest)) <= SERVICE_BYTES, 'it is never too long');
  const small = { addresses: ['10.77.0.2'], queues: 1, udpSegmentation: false };
  t.strictSame(readOffer('tun:10.77.0.2'), small, 'without a word it is the least');
  t.strictSame(readOffer('tun:10.77.0.2,1'), small);
  for (const service of ['echo', 'tun:10.77.0.2,0', 'tun:10.77.0.2,17u', 'tun:10.77.0.2,99'])
    t.equal(readOffer(service), null, service);
  t.strictSame(
    readOffer('tun:10.77.0.2,4x')?.addresses,
    ['10.77.0.2', '4x'],
    'no address, which it is judged to be',
  );
  t.strictSame(readOffer('tun:')?.addresses, ['']);
  t.end();
});
