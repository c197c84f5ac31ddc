import t from 'tap';
import { isIvshmemError } from '../../src/errors/index.ts';
import { TunAddresses } from '../../src/tun/addresses.ts';

t.test('our own addresses', (t) => {
  const { own, service } = new TunAddresses(['10.77.0.1/24', 'FD77:0::1/64']);
  t.strictSame(own, ['10.77.0.1', 'fd77::1']);
  t.equal(service, 'tun:10.77.0.1,fd77::1');
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
  for (const [service, accepted] of [
    ['tun:10.77.0.2', ['10.77.0.2']],
    ['tun:10.77.0.2,fd77::2', ['10.77.0.2', 'fd77::2']],
    ['echo', []],
    ['tun:', []],
    ['tun:10.78.0.2', []],
    ['tun:8.8.8.8,10.77.0.3', ['10.77.0.3']],
    ['tun:10.77.0.1', []],
    ['tun:fd77::0:2', []],
    ['tun:fd78::2', []],
    ['tun:::ffff:10.77.0.2', []],
    ['tun:fd77::2%eth0', []],
    ['tun:10.77.0.2 ,-h', []],
  ] as const) {
    t.strictSame(addresses.ofPeer(service), accepted, service);
  }
  t.end();
});
