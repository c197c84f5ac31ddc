import { spawnSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { connected, type Served, serveRegion } from '../support/busy-region.ts';
import { runToEnd } from '../support/native-build.ts';
import { Pty } from '../support/pty.ts';
import { bundledServer, ServerProgram } from '../support/supervised-server.ts';

const node = [process.execPath, await bundledServer()];
const env = { NODE_OPTIONS: '' };

const noScript =
  spawnSync('script', ['--version']).status === 0 ? false : 'script(1) of util-linux is absent';

async function busy(t: Test): Promise<Served> {
  const served = await serveRegion('top');
  t.teardown(() => served.close());
  const [first, second] = [await served.join('first'), await served.join('second')];
  const { connector, listener } = await connected(first, second, 'numbers');
  listener.serve(() => {});
  const timer = setInterval(() => void connector.send(new Uint8Array(100)), 5);
  t.teardown(() => clearInterval(timer));
  return served;
}

function open(t: Test, command: string, rows = 24, columns = 140): Pty {
  const pty = new Pty(command, rows, columns, env);
  t.teardown(() => pty.close());
  return pty;
}

t.test(
  'draws, follows who joins, sorts, scrolls, resizes, and gives the terminal back',
  { skip: noScript },
  async (t) => {
    const served = await busy(t);
    const top = `${node.join(' ')} top --socket ${served.socket} --interval 0.2`;
    const pty = open(t, `tty; stty -g; ${top}; echo ended with $?; stty -g`);
    const drawn = await pty.shows(/first .*active +host .*\n.*second .*active/);
    t.match(drawn, /region top, view \d+/);
    t.match(drawn, /members +2 of 15: 2 active/);
    t.match(drawn, /channels +1 of 4095/);
    t.equal(pty.buffer.type, 'alternate');
    t.match(await pty.shows(/second +first +\d[\d.]* /), /CONNECTOR +LISTENER/, 'with rates');

    const third = await served.join('third');
    await pty.shows(/third +active/);
    await third.close();
    await pty.shows(/members +2 of 15: 2 active/);

    pty.type('s');
    await pty.shows(/by name/);
    for (let n = 0; n < 11; n++) await served.join(`many-${String(n).padStart(2, '0')}`);
    await pty.shows(/line 1 of/);
    pty.type('\x1b[6~');
    await pty.shows(/line [2-9] of/);
    pty.type('\x1b[5~\x1b[B');
    await pty.shows(/line 2 of/);

    const [, tty] = /(\/dev\/\S+)/.exec(pty.raw) ?? [];
    pty.resize(40, 90);
    t.equal(spawnSync('stty', ['-F', tty!, 'rows', '40', 'cols', '90']).status, 0);
    const taller = await pty.shows(/^ivshmem top.*\n(?:.*\n){37}.*q quit.*$/);
    t.notMatch(taller, 'ADDRESSES', 'and columns that have no room are left out');

    pty.type('q');
    t.equal(await pty.ended(), 0);
    t.equal(pty.buffer.type, 'normal');
    const said = pty.text();
    t.match(said, /ended with 0/);
    const modes = [...said.matchAll(/^[0-9a-f]+:[0-9a-f:]+$/gm)].map(([line]) => line);
    t.equal(modes.length, 2);
    t.equal(modes[0], modes[1], 'the line discipline is as it was');
    t.ok(pty.raw.lastIndexOf('\x1b[?25h') > pty.raw.lastIndexOf('\x1b[?25l'), 'the cursor is back');
  },
);

t.test('a signal gives the terminal back as well', { skip: noScript }, async (t) => {
  const served = await busy(t);
  for (const signal of ['INT', 'TERM', 'HUP']) {
    const pty = open(t, `${node.join(' ')} top --socket ${served.socket} & echo pid=$!; wait $!; echo ended`);
    await pty.shows(/members +2 of/);
    const [, pid] = /pid=(\d+)/.exec(pty.raw) ?? [];
    process.kill(Number(pid), `SIG${signal}`);
    await pty.ended();
    t.equal(pty.buffer.type, 'normal', signal);
    t.match(pty.text(), /ended/);
    t.ok(pty.raw.lastIndexOf('\x1b[?25h') > pty.raw.lastIndexOf('\x1b[?25l'), 'the cursor is back');
  }
});

t.test('a server that ends gives the terminal back, and an error', { skip: noScript }, async (t) => {
  const served = await busy(t);
  const pty = open(t, `${node.join(' ')} top --socket ${served.socket} --interval 0.1`);
  await pty.shows(/members +2 of/);
  await served.server.close();
  t.equal(await pty.ended(), 1);
  t.equal(pty.buffer.type, 'normal');
  t.match(pty.text(), /ERR_IVSHMEM_CONTROL/);
});

t.test('it can be ended while the server stands still', { skip: noScript }, async (t) => {
  const socket = `@ivshmem-top-still-${process.pid}`;
  const server = await ServerProgram.start(socket, '--name', 'still', '--size', '16M', '--slots', '16');
  t.teardown(async () => {
    server.process.kill('SIGCONT');
    await server.end();
  });
  for (const end of ['q', '\x03', 'SIGTERM'] as const) {
    const top = `${node.join(' ')} top --socket ${socket} --interval 0.1`;
    const pty = open(t, end === 'SIGTERM' ? `${top} & echo pid=$!; wait $!` : top);
    await pty.shows(/members +0 of 15/);
    server.process.kill('SIGSTOP');
    // Some intervals, so that it waits for an answer, which does not come.
    await delay(500);
    if (end === 'SIGTERM') process.kill(Number(/pid=(\d+)/.exec(pty.raw)![1]), end);
    else pty.type(end);
    t.equal(await pty.ended(), 0, JSON.stringify(end));
    t.equal(pty.buffer.type, 'normal');
    server.process.kill('SIGCONT');
  }
});

t.test('without a terminal', async (t) => {
  const served = await busy(t);
  const run = (...args: string[]) =>
    runToEnd(node[0]!, [...node.slice(1), 'top', '--socket', served.socket, ...args], 60_000);
  const refused = await run();
  t.equal(refused.code, 2);
  t.match(refused.output, /ERR_IVSHMEM_CLI_TERMINAL/);

  const { code, output } = await run('--once', '--json');
  t.equal(code, 0);
  const sample = JSON.parse(output);
  t.match(sample, {
    region: 'top',
    slots: 16,
    channelEntries: 4096,
    members: [
      { slot: 1, name: 'first', state: 'active', answered: true, statistics: { messagesReceived: Number } },
      { slot: 2, name: 'second', statistics: { channelsOpened: 1 } },
    ],
    channels: [{ number: 1, connector: 2, listener: 1, ended: false, back: { messages: 0, bytes: 0 } }],
  });
  t.ok(sample.channels[0].forth.messages > 0);
  t.equal(sample.channels[0].forth.bytes, sample.channels[0].forth.messages * 100);

  const once = await run('--once', '--interval', '0.3');
  t.match(once.output, /second +first +\d/);
});
