/**
 * Plays the peer of a TUN device with three queues, in the network namespace that it is started in: answers each flow on another
 * queue than its packets came from, and says whether the next ones come from where the first did.
 */
import { execFileSync } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { readSync, writeSync } from 'node:fs';
import { binding } from '../../../src/native/binding.ts';

const FLOWS = 32;
const HEADER = 10; // struct virtio_net_hdr
const PORT = 9;

const { name, queues } = binding.openTun('steer%d', 3);
for (const words of [`link set dev ${name} up`, `address add 10.55.0.1/24 dev ${name}`])
  execFileSync('ip', words.split(' '));

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes.readUInt16BE(i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** The answer to a UDP packet; 0 stands for no checksum (RFC 768). */
function answer(packet: Buffer): Buffer {
  const back = Buffer.from(packet);
  back.fill(0, 0, HEADER);
  const ip = back.subarray(HEADER);
  ip.copyWithin(12, 16, 20);
  packet.copy(ip, 16, HEADER + 12, HEADER + 16);
  ip.writeUInt16BE(0, 10);
  ip.writeUInt16BE(checksum(ip.subarray(0, 20)), 10);
  packet.copy(ip, 20, HEADER + 22, HEADER + 24);
  packet.copy(ip, 22, HEADER + 20, HEADER + 22);
  ip.writeUInt16BE(0, 26);
  return back;
}

/** Sends a datagram on each socket and returns, by its port, the queue that the packet came from and the packet. */
async function round(sockets: readonly Socket[]): Promise<Map<number, { queue: number; packet: Buffer }>> {
  for (const socket of sockets) socket.send('flow');
  const found = new Map<number, { queue: number; packet: Buffer }>();
  const buffer = Buffer.alloc(65_600);
  const deadline = Date.now() + 30_000;
  while (found.size < sockets.length && Date.now() < deadline) {
    for (const [queue, { in: fd }] of queues.entries()) {
      let length = 0;
      try {
        length = readSync(fd, buffer);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      }
      // UDP over IPv4 to that port; the kernel has multicast of its own to send.
      const ip = buffer.subarray(HEADER, length);
      if (length >= HEADER + 28 && ip[0] === 0x45 && ip[9] === 17 && ip.readUInt16BE(22) === PORT)
        found.set(ip.readUInt16BE(20), { queue, packet: Buffer.from(buffer.subarray(0, length)) });
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return found;
}

let answers = 0;
const sockets = await Promise.all(
  Array.from({ length: FLOWS }, async () => {
    const socket = createSocket('udp4', () => answers++);
    await new Promise<void>((resolve) => socket.connect(PORT, '10.55.0.2', resolve));
    return socket;
  }),
);
const first = await round(sockets);
for (const { queue, packet } of first.values())
  writeSync(queues[(queue + 1) % queues.length]!.out, answer(packet));
for (const deadline = Date.now() + 30_000; answers < FLOWS && Date.now() < deadline; )
  await new Promise((resolve) => setTimeout(resolve, 1));
const second = await round(sockets);
const moved = [...first].filter(([port, { queue }]) => second.get(port)?.queue !== queue).length;
const used = new Set([...first.values()].map(({ queue }) => queue)).size;
process.stdout.write(`${first.size} flows on ${used} queues, ${answers} answered, ${moved} moved\n`);
process.exit(0);
