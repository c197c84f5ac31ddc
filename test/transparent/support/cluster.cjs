// A cluster of three workers behind one port, in CommonJS: each answers with its own number. Ends when its standard input does.
const cluster = require('node:cluster');
const http = require('node:http');

if (cluster.isPrimary) {
  let listening = 0;
  for (let i = 0; i < 3; i++) cluster.fork();
  cluster.on('listening', (_worker, { port }) => {
    if (++listening === 3) console.log(port);
  });
  process.stdin.resume().on('end', () => cluster.disconnect());
} else {
  http
    .createServer((request, response) => {
      let bytes = 0;
      request.on('data', (data) => {
        bytes += data.length;
      });
      request.on('end', () => response.end(`${cluster.worker.id} ${bytes}`));
    })
    .listen(0, '127.0.0.1');
}
