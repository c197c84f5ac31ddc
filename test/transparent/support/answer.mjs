// An ordinary server, as a module: answers "1 BYTES". Ends when its standard input does.
import { createServer } from 'node:http';

const server = createServer((request, response) => {
  let bytes = 0;
  request.on('data', (data) => {
    bytes += data.length;
  });
  request.on('end', () => response.end(`1 ${bytes}`));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.resume().on('end', () => server.close());
