/** Builds the images that tests in VMs boot, as far as the cache lacks them. */
import { baseImage } from '../../guest-image/base.ts';
import { programsImage } from '../../guest-image/programs.ts';

await programsImage(await baseImage({ log: console.log }), console.log);
