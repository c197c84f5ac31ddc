import { runToEnd } from '../../../support/native-build.ts';
import { until } from '../../../support/protocol/until.ts';
import { bundledServer } from '../../../support/supervised-server.ts';

/** What `ivshmem dsm status` says of the server at a socket. */
export async function status(socket: string): Promise<string> {
  const words = [await bundledServer(), 'dsm', 'status', '--socket', socket];
  const node = ['IVSHMEM_SOCKET=', 'NODE_V8_COVERAGE=', process.execPath];
  return (await runToEnd('env', [...node, ...words], 60_000)).output;
}

/** Resolves when so many hosts take part: a space is formed by those of the view, and no others are the home of its pages. */
export async function together(socket: string, hosts: number): Promise<void> {
  const all = new RegExp(`serving, view \\d+ of ${hosts} hosts`);
  await until(`${hosts} hosts take part`, async () => all.test(await status(socket)), 120);
}
