import { parseArgs } from 'node:util';
import { type Way, ways } from './commands.ts';
import { type EndOptions, type Strategy, strategies } from './run-end.ts';

/** The options of a side of a pair, from the words that `endWords` makes. @throws Error when they are others. */
export function parseEnd(words: readonly string[]): EndOptions {
  const { values } = parseArgs({
    args: [...words],
    options: {
      role: { type: 'string', default: 'answer' },
      way: { type: 'string', default: 'channel' },
      wait: { type: 'string', default: 'adaptive' },
      at: { type: 'string', default: '' },
      region: { type: 'string', default: '' },
      addresses: { type: 'string', default: '' },
      'ring-always': { type: 'boolean', default: false },
    },
  });
  const { role, way, wait, at, region, addresses } = values;
  if (role !== 'answer' && role !== 'measure') throw new Error(`no such role: ${role}`);
  if (!(ways as readonly string[]).includes(way)) throw new Error(`no such way: ${way}`);
  if (!(wait in strategies)) throw new Error(`no such way of waiting: ${wait}`);
  const own = addresses.split(',').filter((one) => one !== '');
  return {
    role,
    way: way as Way,
    wait: wait as Strategy,
    at,
    region,
    addresses: own,
    ringAlways: values['ring-always'],
  };
}
