/** A member that opens a space, writes its process ID into it, says so, and waits for its end. */
import { openSpace } from '../../../src/dsm/index.ts';
import { open } from '../../../src/index.ts';

const [socket, name] = process.argv.slice(2);
const region = await open({ socket: socket!, name: `holder-${process.pid}` });
const space = await openSpace(region, name!, { size: 8192 });
new Int32Array(space.buffer)[0] = process.pid;
console.log('holds');
setInterval(() => {}, 1000);
