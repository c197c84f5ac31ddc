/** A web application as Express's users write it: `web-app PORT`. It knows nothing of shared memory. Ends with its input. */
import { createHash } from 'node:crypto';
import express from 'express';

const app = express();
app.get('/greeting/:name', (request, response) => {
  response.json({ hello: request.params.name });
});
app.get('/bytes/:count', (request, response) => {
  response.type('application/octet-stream').send(Buffer.alloc(Number(request.params.count), 'ivshmem '));
});
app.post('/digest', express.raw({ limit: '8mb' }), (request, response) => {
  response.send(createHash('sha256').update(request.body).digest('hex'));
});

const [port] = process.argv.slice(2);
const server = app.listen(Number(port), '0.0.0.0', () => console.log('listening'));
process.stdin.on('end', () => {
  server.close();
  server.closeAllConnections();
});
process.stdin.resume();
