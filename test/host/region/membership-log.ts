import t from 'tap';
import { createServer, type Log } from '../../../src/host/index.ts';
import { open } from '../../../src/index.ts';

t.test('joins and leaves are logged once, with who and why', async (t) => {
  const lines: { message: string; [field: string]: unknown }[] = [];
  const log = (about: object): Log => {
    const write = (fields: object | string, message?: string): void => {
      const given = typeof fields === 'string' ? {} : fields;
      lines.push({ ...about, ...given, message: message ?? String(fields) });
    };
    return {
      debug: () => {},
      info: write,
      warn: write,
      error: write,
      child: (more) => log({ ...about, ...more }),
    };
  };
  const socket = `@ivshmem-log-${process.pid}`;
  const regions = [{ name: 'logged', socket, size: '1M', slots: 4, channels: 4 }];
  const server = await createServer({ regions }, { log: log({}) });
  t.teardown(() => server.close());
  const region = await open({ socket, name: 'a', addresses: [] });
  await region.close({ reason: 'migrated' });
  const about = { region: 'logged', slot: 1, epoch: 1, member: 'a', pid: process.pid };
  const of = (message: string) => lines.filter((line) => line.message === message);
  t.match(of('joined'), [about]);
  t.match(of('left'), [{ ...about, reason: 'migrated' }]);
  t.equal(of('joined').length + of('left').length, 2);
});
