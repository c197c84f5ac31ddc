import { createServer } from '../../src/host/index.ts';
import { parseOptions } from './options.ts';
import { announce, endWithParent } from './pair.ts';

// The server of one sample, one region: ends with the contestant that started it.
endWithParent();
const { address, channels } = parseOptions();
const server = await createServer({
  regions: [{ name: 'bench', socket: address, size: 64 << 20, channels: Math.max(64, 2 * channels) }],
});
process.on('SIGTERM', () => void server.close().then(() => process.exit(0)));
announce(address);
