import { open } from 'ivshmem';
import { createServer, setRegion } from 'ivshmem/net';

// Terminal 1: an ordinary server of lines, whose answers may take another way than TCP.
const region = await open({ name: 'line-server' });
await setRegion(region);

const server = createServer((socket) => {
  socket.setEncoding('utf8');
  socket.on('data', (text) => socket.write(String(text).toUpperCase()));
  socket.on('error', (error) => console.error(error.message));
  socket.on('close', () => {
    server.close();
    void region.close();
  });
});
server.listen(Number(process.argv[2] ?? 7070), '127.0.0.1', () => console.log('listening'));
