import { baseImage } from './base.ts';
import { buildPayload } from './payload.ts';

// Builds what `launchVm` would build on first use. SUITE, KERNEL, MIRROR and IVSHMEM_CACHE choose.
const started = performance.now();
const log = (line: string) => console.error(`guest-image: ${line}`);
const image = await baseImage({ log });
const payload = await buildPayload({});
log(`ready after ${((performance.now() - started) / 1000).toFixed(1)} s`);
console.log(JSON.stringify({ ...image, payload }, null, 2));
