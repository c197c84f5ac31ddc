import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import { printBatches, timeBatches } from '../../contestants/batches.ts';
import { parseOptions } from '../../contestants/options.ts';
import {
  announce,
  announced,
  endPartner,
  endWithParent,
  fail,
  pinSelf,
  startPartner,
} from '../../contestants/pair.ts';
import { HOST_NAMES, papersOf } from '../hosts/certificates.ts';
import { papersFolder } from '../hosts/pair.ts';

// What the network between the two hosts can do: --mode rtt/BYTES or stream/BYTES, --transport tcp | tls (1.3, certificates on both sides).
// The measuring side asks for bytes (four that say how many), and the other one sends them.
const options = parseOptions();
const [kind, bytesText] = options.mode.split('/') as [string, string];
const bytes = Number(bytesText);
const CHUNK_BYTES = 256 << 10;

if (options.role === 'partner') await partner();
else await measure();

function papers(host: string): tls.SecureContextOptions {
  const { certificate, key, authority } = papersOf(papersFolder(), host);
  return {
    ...{ cert: readFileSync(certificate), key: readFileSync(key), ca: readFileSync(authority) },
    minVersion: 'TLSv1.3',
    // As the hosts have it.
    ciphers: 'TLS_AES_128_GCM_SHA256',
  };
}

async function partner(): Promise<void> {
  endWithParent();
  const server =
    options.transport === 'tls'
      ? tls.createServer({ ...papers(HOST_NAMES[1]), requestCert: true, rejectUnauthorized: true })
      : net.createServer();
  const event = options.transport === 'tls' ? 'secureConnection' : 'connection';
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  announce(String((server.address() as net.AddressInfo).port));
  const [socket] = (await once(server, event)) as [net.Socket];
  socket.setNoDelay(true);
  // The measuring side kills this process: nothing to report.
  socket.on('error', () => process.exit(0));
  const chunk = Buffer.alloc(CHUNK_BYTES, 1);
  let order = Buffer.alloc(0);
  let left = 0;
  let busy = false;
  const send = (): void => {
    busy = false;
    while (left > 0) {
      const some = chunk.subarray(0, Math.min(left, CHUNK_BYTES));
      left -= some.length;
      if (!socket.write(some) && left > 0) {
        busy = true;
        socket.once('drain', send);
        return;
      }
    }
  };
  socket.on('data', (data) => {
    order = Buffer.concat([order, data]);
    for (; order.length >= 4; order = order.subarray(4)) left += order.readUInt32LE();
    if (!busy) send();
  });
}

async function measure(): Promise<void> {
  pinSelf(options.cpuA);
  const other = startPartner(options, '');
  const port = Number(await announced(other));
  let missing = 0;
  let finish = (): void => {};
  const got = (n: number): void => {
    missing -= n;
    if (missing < 0) fail('more bytes come than were asked for');
    if (missing === 0) finish();
  };
  const place = Buffer.alloc(CHUNK_BYTES);
  const onread = {
    buffer: place,
    callback(n: number): boolean {
      got(n);
      return true;
    },
  };
  const at = { host: '127.0.0.1', port };
  // TLS takes no buffer of ours; its chunks are of 16 KiB.
  const socket =
    options.transport === 'tls'
      ? tls.connect({ ...at, ...papers(HOST_NAMES[0]), servername: HOST_NAMES[1] })
      : net.connect({ ...at, onread });
  if (options.transport === 'tls') socket.on('data', (data: Buffer) => got(data.length));
  await once(socket, options.transport === 'tls' ? 'secureConnect' : 'connect');
  socket.setNoDelay(true);
  const order = Buffer.alloc(4);
  const ask = (n: number): Promise<void> => {
    missing = n;
    order.writeUInt32LE(n);
    socket.write(order);
    return new Promise((resolve) => {
      finish = resolve;
    });
  };
  const nanoseconds = await timeBatches(
    options.ms,
    async (n) => {
      for (let i = 0; i < n; i++) await ask(bytes);
    },
    { first: 1 },
  );
  await endPartner(other);
  printBatches(nanoseconds, kind === 'rtt' ? 'ns' : 'B/s', kind === 'rtt' ? 0 : bytes);
  process.exit(0);
}
