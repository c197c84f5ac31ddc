/** TCP traffic inside a network namespace: a program of its own, because a process is in one. */
import { createHash, randomFillSync } from 'node:crypto';
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

/** One number after the other, each when the last came back: an open connection that must live on. */
function beat(socket: Socket): void {
  let number = 0;
  let text = '';
  socket.setNoDelay(true);
  const next = (): void => void socket.write(`${++number}\n`);
  socket.on('data', (piece) => {
    text += piece;
    if (!text.endsWith('\n')) return;
    say(text.trim() === String(number) ? `beat ${number}` : `wrong ${text.trim()} for ${number}`);
    text = '';
    setTimeout(next, 50);
  });
  next();
}

if (role === 'echo') echo();
else {
  const socket = connect(PORT, host, () => (role === 'bulk' ? bulk(socket, Number(size)) : beat(socket)));
  socket.on('error', (error) => say(`error ${error.message}`));
}
