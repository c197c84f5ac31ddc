/** Traffic inside a network namespace or a VM: a program of its own, because a process is in one. */
import { createHash, randomFillSync } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, createServer, type Socket } from 'node:net';

const [role, host = '', size = ''] = process.argv.slice(2);
const PORT = 9000;
const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** Returns everything until its end, and says what it was. */
function echo(): void {
  const server = createServer((socket) => {
    const hash = createHash('sha256');
    socket.on('data', (bytes) => hash.update(bytes));
    socket.on('end', () => say(`echoed ${hash.digest('hex')}`));
    socket.pipe(socket);
  });
  server.listen(PORT, '::', () => say('listening'));
}

/** Sends random bytes and says whether the same came back. */
function bulk(socket: Socket, bytes: number): void {
  const block = randomFillSync(Buffer.alloc(1 << 20));
  const sent = createHash('sha256');
  const received = createHash('sha256');
  let left = bytes;
  let back = 0;
  const write = (): void => {
    while (left > 0) {
      block.writeUInt32LE(left >>> 0, 0);
      const piece = Buffer.from(block.subarray(0, Math.min(left, block.length)));
      sent.update(piece);
      left -= piece.length;
      if (left === 0) socket.end(piece);
      else if (!socket.write(piece)) {
        socket.once('drain', write);
        return;
      }
    }
  };
  socket.on('data', (piece) => {
    back += piece.length;
    received.update(piece);
  });
  socket.on('end', () => {
    const same = sent.digest('hex') === received.digest('hex');
    say(`${back} bytes ${same ? 'the same' : 'different'}`);
  });
  write();
}

/**
 * Sends random bytes until its standard input ends, tells of each piece that came back, and then whether all are the same. With pauses,
 * for in an emulated VM others need the processor, too.
 */
function flow(socket: Socket): void {
  const PIECE = 64 << 10;
  const PAUSE_MS = 25;
  const block = randomFillSync(Buffer.alloc(PIECE));
  const sent = createHash('sha256');
  const received = createHash('sha256');
  let ended = false;
  let count = 0;
  let back = 0;
  const write = (): void => {
    if (ended) {
      socket.end();
      return;
    }
    block.writeUInt32LE(count++, 0);
    const piece = Buffer.from(block);
    sent.update(piece);
    socket.write(piece, () => setTimeout(write, PAUSE_MS));
  };
  socket.on('data', (piece) => {
    const before = Math.floor(back / PIECE);
    back += piece.length;
    received.update(piece);
    for (let i = before + 1; i <= Math.floor(back / PIECE); i++) say(`back ${i}`);
  });
  socket.on('end', () => {
    const same = sent.digest('hex') === received.digest('hex') && back === count * PIECE;
    say(`${back} bytes ${same ? 'the same' : 'different'}`);
  });
  process.stdin.on('end', () => {
    ended = true;
  });
  process.stdin.resume();
  write();
}

/**
 * One number after the other, each when the last came back: an open connection that must live on. Tells of each wait that is longer than
 * all before.
 */
function beat(socket: Socket): void {
  let number = 0;
  let text = '';
  let asked = 0;
  let longest = 0;
  socket.setNoDelay(true);
  const next = (): void => {
    asked = performance.now();
    socket.write(`${++number}\n`);
  };
  socket.on('data', (piece) => {
    text += piece;
    if (!text.endsWith('\n')) return;
    say(text.trim() === String(number) ? `beat ${number}` : `wrong ${text.trim()} for ${number}`);
    text = '';
    const silence = Math.round(performance.now() - asked);
    if (silence > longest) say(`silent for ${silence} ms`);
    longest = Math.max(longest, silence);
    setTimeout(next, 50);
  });
  next();
}

/** Returns every datagram. */
function reflect(): void {
  const server = createSocket('udp6', (bytes, from) => server.send(bytes, from.port, from.address));
  server.bind(PORT, '::', () => say('listening'));
}

/** Says how long each datagram is. */
function datagrams(): void {
  const server = createSocket('udp6', (bytes) => say(`${bytes.length} bytes`));
  server.bind(PORT, '::', () => say('listening'));
}

/**
 * Numbered datagrams of several flows, a burst of each in turn, which come back: says how many did, and how many of them after one
 * with a higher number.
 */
function number(flows: number): void {
  const ROUNDS = 400;
  const BURST = 8;
  let back = 0;
  let late = 0;
  const sockets = Array.from({ length: flows }, () => {
    let last = -1;
    const socket = createSocket('udp4', (bytes) => {
      const got = bytes.readUInt32LE();
      back++;
      if (got < last) late++;
      last = Math.max(last, got);
    });
    socket.connect(PORT, host);
    return socket;
  });
  let next = 0;
  const round = (): void => {
    for (const socket of sockets)
      for (let i = 0; i < BURST; i++) {
        const bytes = Buffer.alloc(200);
        bytes.writeUInt32LE(next * BURST + i);
        socket.send(bytes);
      }
    next++;
    setTimeout(next < ROUNDS ? round : end, next < ROUNDS ? 1 : 1000);
  };
  const end = (): void => {
    for (const socket of sockets) socket.close();
    say(`${back} back, ${late} late`);
  };
  let connected = 0;
  for (const socket of sockets)
    socket.once('connect', () => {
      if (++connected === flows) round();
    });
}

if (role === 'echo') echo();
else if (role === 'reflect') reflect();
else if (role === 'datagrams') datagrams();
else if (role === 'number') number(Number(size));
else {
  const socket = connect(PORT, host, () => {
    if (role === 'bulk') bulk(socket, Number(size));
    else if (role === 'flow') flow(socket);
    else beat(socket);
  });
  socket.on('error', (error) => say(`error ${error.message}`));
}
