import { createServer } from '../../../src/host/index.ts';

// One of two hosts: the server of a sample, whose configuration is the argument. Ends with the contestant that started it.
process.stdin.on('end', () => process.exit(0)).resume();
await createServer(JSON.parse(process.argv[2]!));
process.stdout.write('ready\n');
