/** Leaves it to one write to keep the process: `tsx last-write.ts SOCKET PORT BYTES`. */
import { setTimeout as delay } from 'node:timers/promises';
import { open } from '../../../src/index.ts';
import { connect } from '../../../src/net/index.ts';

const [place, port, bytes] = process.argv.slice(2);
const region = await open({ socket: place!, name: 'writer' });
const socket = connect({ port: Number(port), host: '127.0.0.1', region });
while (socket.path !== 'shared-memory') await delay(5);
process.stdout.write(`${socket.path}\n`);
socket.unref();
socket.write(Buffer.alloc(Number(bytes)), () => process.stdout.write('written\n'));
