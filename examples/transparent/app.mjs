// An ordinary web application. It knows nothing of shared memory.
import { createHash } from 'node:crypto';
import express from 'express';

const app = express();
app.use(express.json({ limit: '1mb' }));
app.get('/', (_request, response) => response.json({ pid: process.pid, at: Date.now() }));
app.post('/sum', (request, response) => {
  const sum = createHash('sha256').update(JSON.stringify(request.body)).digest('hex');
  response.json({ sum });
});
const server = app.listen(Number(process.env.PORT ?? 8080), '127.0.0.1', () => console.log('listening'));
process.once('SIGINT', () => server.close());
