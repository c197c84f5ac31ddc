/** The package as a stranger gets it: packed, installed in a clean directory without scripts, used from there. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Authority, withoutOpenssl } from './host/hosts/support/certificates.ts';
import { type Outcome, runToEnd } from './support/native-build.ts';
import { checkout, packAndInstall, untilItSucceeds, writeReadmePrograms } from './support/packed.ts';

const MOST_BYTES = 1_800_000;
const MOST_BYTES_UNPACKED = 5_000_000;

t.setTimeout(280_000);
const { tarball, consumer, packing, installing, offline } = await packAndInstall(t);
const inside = join(consumer, 'node_modules/ivshmem');
const run = (command: string, ...args: string[]): Promise<Outcome> =>
  runToEnd(command, args, 120_000, consumer);

/** What it said matters only when it failed. */
function succeeded(t: Test, { code, signal, output }: Outcome): void {
  t.equal(code ?? signal, 0, 'ended well', code === 0 ? {} : { output });
}

t.test('npm pack', async (t) => {
  const { size } = statSync(tarball);
  const list = (await runToEnd('tar', ['tzvf', tarball], 30_000)).output.trim().split('\n');
  const files = list.map((line) =>
    line
      .trim()
      .split(/\s+/)
      .slice(5)
      .join(' ')
      .replace(/^package\//, ''),
  );
  const unpacked = list.reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[2]), 0);
  t.comment(`${size} bytes packed, ${unpacked} unpacked, ${files.length} files`);
  t.ok(size > 0 && size <= MOST_BYTES, `at most ${MOST_BYTES} bytes packed`);
  t.ok(unpacked <= MOST_BYTES_UNPACKED, `at most ${MOST_BYTES_UNPACKED} bytes unpacked`);
  for (const wanted of [
    'README.md',
    'LICENSE',
    'dist/index.js',
    'dist/index.d.ts',
    'dist/cli/main.js',
    'dist/cli/top/screen.js',
    'dist/cli/top/LICENSES.txt',
    'dist/study/report/drawing.js',
    'dist/study/LICENSES.txt',
    'systemd/ivshmem-server.service',
    // Errors and --help name them.
    'docs/server.md',
    'docs/images/demo.svg',
  ]) {
    t.ok(files.includes(wanted), wanted);
  }
  t.ok(files.includes(`prebuilds/linux-${process.arch}.node`), 'the addon for this machine');
  t.ok(files.includes(`prebuilds/linux-${process.arch}-hosts.node`), 'that of servers with hosts');
  const guardian = list.find((line) => line.endsWith(`prebuilds/linux-${process.arch}-guardian`));
  t.match(guardian, /^-rwx/, 'the guardian for this machine, a program');
  const strange = files.filter(
    (file) => /(^|\/)(test|testing|src|bench)\/|\.cc$|\.ts$/.test(file) && !file.endsWith('.d.ts'),
  );
  t.strictSame(strange, [], 'neither tests nor sources');
});

const other = process.arch === 'x64' ? 'arm64' : 'x64';
const left = /linux-\w+ is left out: .*/.exec(packing.output)?.[0];
t.test(`what is compiled for ${other}`, { skip: left ?? false }, async (t) => {
  for (const suffix of ['.node', '-hosts.node', '-guardian']) {
    const image = join(checkout, `prebuilds/linux-${other}${suffix}`);
    // ELF e_machine, at offset 18: EM_X86_64 62, EM_AARCH64 183.
    t.equal(readFileSync(image).readUInt16LE(18), other === 'arm64' ? 183 : 62);
  }
});

t.test('npm install', { skip: offline }, async (t) => {
  succeeded(t, installing);
  const { scripts = {} } = JSON.parse(readFileSync(join(inside, 'package.json'), 'utf8'));
  t.strictSame(
    Object.keys(scripts).filter((name) => /^(pre|post)?install$|^prepare$/.test(name)),
    [],
    'no install script',
  );
  const guardian = join(inside, `prebuilds/linux-${process.arch}-guardian`);
  t.ok(statSync(guardian).mode & 0o100, 'the guardian may be executed');
  t.notOk(existsSync(join(inside, 'binding.gyp')), 'nothing that makes npm compile');
});

t.test('import and require', { skip: offline }, async (t) => {
  const script = `
    import { createRequire } from 'node:module';
    const require = createRequire(import.meta.url);
    const names = ['ivshmem', 'ivshmem/vfio', 'ivshmem/virtqueue', 'ivshmem/metrics', 'ivshmem/net', 'ivshmem/dsm', 'ivshmem/server'];
    const report = {};
    for (const name of names) {
      const imported = await import(name);
      report[name] = Object.keys(imported);
      if (require(name).default !== imported.default || Object.keys(require(name)).length < 1) throw new Error(name);
    }
    console.log(JSON.stringify(report));`;
  writeFileSync(join(consumer, 'use.mjs'), script);
  const used = await run(process.execPath, '--no-warnings', 'use.mjs');
  succeeded(t, used);
  const report = JSON.parse(used.output);
  t.ok(
    ['open', 'openDevice', 'Region', 'Channel', 'IvshmemError'].every((name) =>
      report.ivshmem.includes(name),
    ),
  );
  t.ok(report['ivshmem/vfio'].includes('openPciDevice'));
  t.ok(report['ivshmem/virtqueue'].includes('DriverQueue'));
  t.ok(report['ivshmem/server'].includes('createServer'));
  t.ok(report['ivshmem/net'].includes('connect'));

  writeFileSync(join(consumer, 'use.cjs'), "console.log(typeof require('ivshmem').open);");
  const common = await run(process.execPath, '--no-warnings', 'use.cjs');
  t.equal(common.output.trim(), 'function', 'from CommonJS');
});

/** Each entry of the package's exports, by one of what it exports. */
const TYPED = `
  import { adaptive, open, type Channel, type ChannelEnd, isIvshmemError } from 'ivshmem';
  import { openSpace, type SpreadSpace, struct } from 'ivshmem/dsm';
  import { metrics } from 'ivshmem/metrics';
  import { connect, type Reason, type Socket } from 'ivshmem/net';
  import { createServer, type ServerConfigInput } from 'ivshmem/server';
  import { counters, pathOf } from 'ivshmem/transparent';
  import { Tun } from 'ivshmem/tun';
  import { openPciDevice } from 'ivshmem/vfio';
  import { VirtioRng } from 'ivshmem/virtio';
  import { DriverQueue } from 'ivshmem/virtqueue';
  const config: ServerConfigInput = { regions: [{ name: 'a', socket: '@a' }] };
  export async function main(): Promise<unknown> {
    const server = await createServer(config);
    const region = await open({ socket: '@a', name: 'me', wait: adaptive });
    const channel: Channel = await region.connect('echo');
    const length: number = channel.capacity;
    // @ts-expect-error: types are there, and they are not any
    const wrong: string = channel.capacity;
    const end: ChannelEnd | null = channel.end;
    const space: SpreadSpace = await openSpace(region, 's', { size: 4096, spread: true });
    const place: { readonly x: number } = struct({ x: 'f64' }).at(space, 0);
    const text: string = await metrics(region).metrics();
    const socket: Socket = connect(7070, '10.0.0.2');
    const reason: Reason = socket.pathReason;
    // @ts-expect-error: nor are these
    const number: number = socket.path;
    const tun = await Tun.open(region, { addresses: ['10.77.0.1/24'] });
    const sent: number = tun.counters().packetsSent;
    const rng = await VirtioRng.open('0000:00:10.0');
    const bytes: Uint8Array = await rng.read(64);
    const paths = [pathOf(socket), counters()];
    return [server, length, wrong, end, place, text, reason, number, sent, bytes, paths, openPciDevice, DriverQueue, isIvshmemError(null)];
  }`;

t.test('types', { skip: offline }, async (t) => {
  const tsc = join(checkout, 'node_modules/.bin/tsc');
  // Declarations of what the program imports are checked as well, as they are without skipLibCheck.
  const common = {
    target: 'es2022',
    strict: true,
    noEmit: true,
    exactOptionalPropertyTypes: true,
    typeRoots: [join(checkout, 'node_modules/@types')],
    types: ['node'],
  };
  writeFileSync(join(consumer, 'use.ts'), TYPED);
  writeFileSync(join(consumer, 'common.cts'), TYPED);
  for (const [module, moduleResolution, files] of [
    ['nodenext', 'nodenext', ['use.ts', 'common.cts']],
    ['node16', 'node16', ['use.ts']],
    ['esnext', 'bundler', ['use.ts']],
  ] as const) {
    const config = { compilerOptions: { ...common, module, moduleResolution }, files };
    writeFileSync(join(consumer, 'tsconfig.json'), JSON.stringify(config));
    succeeded(t, await run(tsc, '--noEmit'));
  }
});

t.test('npx ivshmem', { skip: offline }, async (t) => {
  const { version } = JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8'));
  const said = await run('npx', '--offline', 'ivshmem', '--version');
  t.equal(said.output.trim().split('\n').at(-1), version);

  const demo = await run('npx', '--offline', 'ivshmem', 'demo', '--json');
  succeeded(t, demo);
  const [shared, other] = JSON.parse(demo.output.trim().split('\n').at(-1)!);
  t.match(shared, { path: 'shared memory', received: Number });
  t.ok(shared.received > 0 && shared.rttUs > 0 && shared.bytesPerSecond > 0);
  t.equal(other.received, shared.received, 'both paths carried the same messages');
});

t.test("README's programs", { skip: offline }, async (t) => {
  writeReadmePrograms(consumer);
  const socket = `@ivshmem-readme-${process.pid}`;
  const start = (...words: string[]): ChildProcess => {
    const env = { ...process.env, IVSHMEM_SOCKET: socket };
    const child = spawn(process.execPath, words, { cwd: consumer, stdio: ['ignore', 'ignore', 'pipe'], env });
    t.teardown(() => child.kill());
    return child;
  };
  const server = start(join(inside, 'dist/cli/main.js'), 'server', '--socket', socket, '--size', '64M');
  // Its first line of log says that it listens.
  await once(server.stderr!, 'data');
  start('a.mjs');
  const asked = await untilItSucceeds(() =>
    run('env', `IVSHMEM_SOCKET=${socket}`, process.execPath, 'b.mjs'),
  );
  t.equal(asked.output.trim(), 'hello, says a');
});

t.test('a server among hosts', { skip: offline || withoutOpenssl() || false }, async (t) => {
  const authority = new Authority(consumer);
  const [socket, listen] = [`@ivshmem-among-${process.pid}`, '127.0.0.1:0'];
  // The only one of its list, which is a majority.
  const hosts = { name: 'a', listen, state: join(consumer, 'votes.json'), ...authority.issue('a') };
  const lines = Object.entries(hosts).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
  const region = `[[regions]]\nname = "r"\nsocket = "${socket}"\nsize = "16M"\n`;
  const file = join(consumer, 'hosts.toml');
  writeFileSync(file, `${region}[hosts]\npeers = {}\n${lines.join('\n')}\n`);
  const words = [join(inside, 'dist/cli/main.js'), 'server', '--config', file];
  const server = spawn(process.execPath, words, { cwd: consumer, stdio: ['ignore', 'ignore', 'pipe'] });
  t.teardown(() => server.kill());
  let log = '';
  server.stderr.on('data', (text) => {
    log += text;
  });
  const program = `
    import { open } from 'ivshmem';
    import { openSpace } from 'ivshmem/dsm';
    const region = await open({ socket: '${socket}', name: 'm' });
    const space = await openSpace(region, 'numbers', { size: 1 << 20, spread: true });
    new Float64Array(space.buffer)[1000] = Math.PI;
    console.log(space.pageBytes, new Float64Array(space.buffer)[1000]);
    await space.close();
    await region.close();`;
  writeFileSync(join(consumer, 'spread.mjs'), program);
  const spread = await untilItSucceeds(() => run(process.execPath, '--no-warnings', 'spread.mjs'));
  t.equal(spread.output.trim(), `4096 ${Math.PI}`, log);
});

t.test('the driver needs none of the dependencies', { skip: offline }, async (t) => {
  const { dependencies } = JSON.parse(readFileSync(join(inside, 'package.json'), 'utf8'));
  for (const name of Object.keys(dependencies))
    rmSync(join(consumer, 'node_modules', name), { recursive: true });
  writeFileSync(
    join(consumer, 'bare.mjs'),
    'console.log(typeof (await import(process.argv[2]))[process.argv[3]]);',
  );
  for (const [name, what] of [
    ['ivshmem', 'open'],
    ['ivshmem/vfio', 'openPciDevice'],
    ['ivshmem/virtqueue', 'DriverQueue'],
  ] as const) {
    t.equal((await run(process.execPath, 'bare.mjs', name, what)).output.trim(), 'function', name);
  }
  const server = await run(process.execPath, 'bare.mjs', 'ivshmem/server', 'createServer');
  t.match(server.output, /ERR_MODULE_NOT_FOUND/, 'the server does');
  const screen = await run(process.execPath, 'bare.mjs', `${inside}/dist/cli/top/screen.js`, 'openScreen');
  t.equal(screen.output.trim(), 'function', 'what draws in terminals brings its own');
  for (const [file, what] of [
    ['report/drawing.js', 'svg'],
    ['statistics.js', 'estimate'],
    ['histogram.js', 'decodeTimes'],
  ] as const) {
    const part = await run(process.execPath, 'bare.mjs', `${inside}/dist/study/${file}`, what);
    t.equal(part.output.trim(), 'function', `and so does ${file} of studies`);
  }
});
