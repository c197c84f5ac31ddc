/** A member that sends packets no kernel would make, to a real TUN device. */
import t from 'tap';
import { serveRegion } from '../support/busy-region.ts';
import { Namespace, noTun } from './support/namespaces.ts';

t.setTimeout(180_000);
const skip = noTun();
const FLOOD = 20_000;
const HEADER = 10; // struct virtio_net_hdr
/** VIRTIO_NET_HDR_GSO_TCPV4, _UDP, _TCPV6, _UDP_L4, and nothing that exists. */
const GSO_TYPES = [0, 1, 3, 4, 5, 0x81, 0xff];

/** The same numbers in each run. */
let seed = 20_240_229;
function random(below: number): number {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
  return Math.floor((seed / 2 ** 32) * below);
}

/** An IPv4 packet from 10.77.0.66 to 10.77.0.1 behind an empty virtio_net_hdr; the rest is the caller's. */
function packet(protocol: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(HEADER + 20 + payload.length);
  const ip = bytes.subarray(HEADER);
  ip[0] = 0x45;
  ip.writeUInt16BE(20 + payload.length, 2);
  ip[8] = 64;
  ip[9] = protocol;
  ip.set([10, 77, 0, 66, 10, 77, 0, 1], 12);
  ip.set(payload, 20);
  ip.writeUInt16BE(checksum(ip.subarray(0, 20)), 10);
  return bytes;
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function echoRequest(sequence: number): Buffer {
  const icmp = Buffer.alloc(16);
  icmp[0] = 8;
  icmp.writeUInt16BE(0x6666, 4);
  icmp.writeUInt16BE(sequence, 6);
  icmp.writeUInt16BE(checksum(icmp), 2);
  return packet(1, icmp);
}

/** A packet that is nearly right, or right with a virtio_net_hdr that is not. */
function forged(): Buffer {
  const bytes = packet([6, 17, 1, random(256)][random(4)]!, Buffer.alloc(random(3000), random(256)));
  if (random(2) === 0) {
    bytes[0] = random(4);
    bytes[1] = GSO_TYPES[random(GSO_TYPES.length)]!;
    bytes.writeUInt16LE([0, 40, 54, 65_535][random(4)]!, 2);
    bytes.writeUInt16LE([0, 1, 7, 8, 1448, 65_535][random(6)]!, 4);
    bytes.writeUInt16LE([0, 14, 20, 28, bytes.length - 12, 65_535][random(6)]!, 6);
    bytes.writeUInt16LE([0, 6, 16, 65_535][random(4)]!, 8);
  }
  // A data offset of TCP that may be one.
  if (random(2) === 0 && bytes.length > HEADER + 33) bytes[HEADER + 32] = random(256);
  for (let changes = random(3); changes > 0; changes--) bytes[random(bytes.length)] = random(256);
  return random(8) === 0 ? bytes.subarray(0, random(bytes.length + 1)) : bytes;
}

t.test('a hostile member before a kernel', { skip }, async (t) => {
  const served = await serveRegion('tun-hostile', {
    socket: `/tmp/ivshmem-tun-hostile-${process.pid}.sock`,
  });
  t.teardown(() => served.close());
  const a = new Namespace(t, 'ha');
  const tun = a.tun(t, served.socket, 'a', '10.77.0.1/24');
  await tun.says(/is up/);
  const hostile = await served.join('hostile');
  const listener = await hostile.listen('tun:10.77.0.66,1u');
  // It is in the higher slot, so the other connects.
  const { value: channel } = await listener[Symbol.asyncIterator]().next();
  await tun.says(/^\+ hostile /m);

  /** Gives the pump time and takes what it sends, until `found` says that this is it. */
  const until = async (found: (packet: Buffer) => boolean): Promise<void> => {
    const deadline = Date.now() + 60_000;
    for (;;) {
      const message = channel!.receive();
      if (message !== null) {
        const bytes = Buffer.from(message.bytes);
        channel!.release(message);
        if (found(bytes)) return;
      } else if (Date.now() > deadline) {
        throw new Error(`no answer: ${tun.output}`);
      } else {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }
  };
  const send = async (bytes: Buffer): Promise<void> => {
    while (!channel!.send(bytes)) {
      hostile.device.ring(channel!.peer, 1);
      for (let message = channel!.receive(); message !== null; message = channel!.receive())
        channel!.release(message);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const answered = async (sequence: number): Promise<void> => {
    await send(echoRequest(sequence));
    hostile.device.ring(channel!.peer, 1);
    const ip = (bytes: Buffer) => bytes.subarray(HEADER);
    await until(
      (bytes) => ip(bytes)[9] === 1 && ip(bytes)[20] === 0 && ip(bytes).readUInt16BE(26) === sequence,
    );
  };

  await answered(1);
  for (let i = 0; i < FLOOD; i++) await send(forged());
  await answered(2);
  t.pass('the kernel answers as before');
  t.equal(tun.child.exitCode, null);
  tun.child.kill('SIGINT');
  t.equal(await tun.ended, 0);
  const [, received] = tun.output.match(/(\d+) received/)!;
  t.ok(Number(received) > 0 && Number(received) < FLOOD, `${received} were packets`);
  for (const reason of ['malformed', 'offload', 'source', 'destination'])
    t.match(tun.output, new RegExp(`\\d+ ${reason}`), reason, { output: tun.output });
});
