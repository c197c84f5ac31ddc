/** A server with hosts in a process of its own, which a test stops and kills. Its configuration is the first argument, as JSON. */
import { createServer } from '../../../../src/host/index.ts';

const server = await createServer(JSON.parse(process.argv[2]!));
process.once('SIGTERM', async () => {
  await server.close();
  process.exit();
});
process.stdout.write('ready\n');
// The test is gone.
process.stdin.on('end', () => process.kill(process.pid, 'SIGKILL')).resume();
