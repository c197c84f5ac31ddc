/**
 * A member for the tests in VMs and for host processes beside them. One JSON line on stdout per result.
 *   member serve NAME             listens to `echo` and `sink` until killed
 *   member pour NAME PEER MIB BLOCK   sends that many MiB of checked blocks to PEER's sink
 *   member ask NAME PEER COUNT WAIT   round trips with PEER's echo, asleep between (WAIT: adaptive | interrupt)
 *   member talk NAME WAIT         serves, and does what it is told on stdin (talk.ts)
 * MEMBER_ADDRESS or MEMBER_REGION in the environment says which device, where there are several.
 */
import { adaptive, interrupt, open } from '../../../src/index.ts';
import { ask, pour, say, serve } from './services.ts';
import { reportEnd, talk } from './talk.ts';

const [command, name = 'member', ...words] = process.argv.slice(2);
const [peer = '', ...rest] = words;
if (command === 'talk') reportEnd();
const { MEMBER_ADDRESS: address, MEMBER_REGION: regionName } = process.env;
const region = await open({
  name,
  wait: words.at(-1) === 'interrupt' ? interrupt : adaptive,
  ...(address === undefined ? {} : { address }),
  ...(regionName === undefined ? {} : { region: regionName }),
});
if (command === 'talk') talk(region);
else {
  if (command === 'serve') await serve(region);
  else if (command === 'pour') say(await pour(region, peer, Number(rest[0]), Number(rest[1])));
  else if (command === 'ask') say(await ask(region, peer, Number(rest[0])));
  else throw new Error(`no command ${command}`);
  await region.close();
}
