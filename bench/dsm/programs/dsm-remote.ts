import { printBatches } from '../../contestants/batches.ts';
import { parseOptions } from '../../contestants/options.ts';
import { fail } from '../../contestants/pair.ts';
import { openSpread, partnerOnHost, sampleHosts } from '../hosts/pair.ts';
import { ownedBy, remote } from '../hosts/remote.ts';

// Pages of a spread space that come from another host: --mode PIECE/PAGE-SIZE.
const options = parseOptions();
const [piece, pageSize] = options.mode.split('/') as [string, string];
const work = remote(piece, Number(pageSize)) ?? fail(`no such piece: ${piece}`);

if (options.role === 'partner')
  await partnerOnHost(options, async (region) => {
    const space = await openSpread(region, work.bytes, work.pageSize);
    return (what) => ownedBy(space, what);
  });
else {
  const nanoseconds = await sampleHosts(options, async (region, partner) =>
    work.measure(options.ms, await openSpread(region, work.bytes, work.pageSize), partner),
  );
  if (nanoseconds.some((ns) => !(ns > 0))) fail('an operation took no time');
  printBatches(nanoseconds, work.perOperation === 0 ? 'ns' : 'B/s', work.perOperation);
}
process.exit(0);
