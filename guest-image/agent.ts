import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  createReadStream,
  createWriteStream,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { agentPort, lineSplitter, type Reply, type Request, type RunRequest } from './protocol.ts';

// The guest's end of the host's command channel: starts programs and reports what they write and how they end.
// It obeys the host in everything, which owns this guest anyway; a request it cannot carry out is answered, never fatal.

const running = new Map<number, ChildProcess>();
const descriptor = openSync(portDevice(), 'r+');
const port = createWriteStream('', { fd: descriptor, autoClose: false });

/** The device of the named port. Without udev there are no links in /dev/virtio-ports, so the names are read in sysfs. */
function portDevice(): string {
  const ports = '/sys/class/virtio-ports';
  const found = readdirSync(ports).find(
    (name) => readFileSync(`${ports}/${name}/name`, 'utf8').trim() === agentPort,
  );
  if (!found) throw new Error(`no virtio-serial port is named ${agentPort}`);
  return `/dev/${found}`;
}

/** Resolves when the port has room for more: a reader that waits for it makes a flood of output wait for the host. */
async function reply(message: Reply): Promise<void> {
  if (port.write(`${JSON.stringify(message)}\n`)) return;
  await new Promise<void>((resolve) => port.once('drain', resolve));
}

function identity(user: string): { uid: number; gid: number; env: Record<string, string> } {
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name, , uid, gid, , home] = line.split(':');
    if (name === user)
      return { uid: Number(uid), gid: Number(gid), env: { USER: name, LOGNAME: name, HOME: home ?? '/' } };
  }
  throw new Error(`no user ${user} in this guest`);
}

async function forward(id: number, stream: Readable, name: 'stdout' | 'stderr'): Promise<void> {
  for await (const chunk of stream) {
    const data = (chunk as Buffer).toString('base64');
    await reply(name === 'stdout' ? { id, stdout: data } : { id, stderr: data });
  }
}

async function run(request: RunRequest): Promise<void> {
  const { id, command, timeout } = request;
  const [file, ...args] = typeof command === 'string' ? ['/bin/sh', '-c', command] : command;
  const as = request.user === undefined ? undefined : identity(request.user);
  const env = { ...process.env, ...as?.env, ...request.env };
  // detached: a process group of its own, so that a signal reaches the program's children too.
  const child = spawn(file!, args, { cwd: request.cwd, env, uid: as?.uid, gid: as?.gid, detached: true });
  running.set(id, child);
  // A program that does not read its input must not take the agent down with EPIPE.
  child.stdin.on('error', () => child.stdin.destroy());
  let timedOut = false;
  const timer = setTimeout(
    () => {
      timedOut = true;
      signal(child, 'SIGKILL');
    },
    timeout ?? 2 ** 31 - 1,
  );
  try {
    // 'exit' and not 'close': a child left in the background keeps the pipes open and must not hold the result.
    const ended = new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (status, by) => resolve([status, by]));
    });
    const output = Promise.all([forward(id, child.stdout, 'stdout'), forward(id, child.stderr, 'stderr')]);
    const [status, by] = await ended;
    await Promise.race([output, delay(200)]);
    await reply({ id, exit: { status, signal: by, timedOut } });
  } finally {
    clearTimeout(timer);
    running.delete(id);
  }
}

function signal(child: ChildProcess | undefined, name: NodeJS.Signals): void {
  if (child?.pid === undefined) return;
  try {
    process.kill(-child.pid, name);
  } catch (error) {
    // ESRCH: the group has already ended, which is what a signal is sent for.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function obey(request: Request): Promise<void> {
  const { id } = request;
  switch (request.op) {
    case 'run':
      return await run(request);
    case 'hello':
      return await reply({ id, done: true });
    case 'input':
      if (request.data === undefined) running.get(id)?.stdin?.end();
      else running.get(id)?.stdin?.write(Buffer.from(request.data, 'base64'));
      return;
    case 'signal':
      return signal(running.get(id), request.signal);
    case 'put':
      writeFileSync(request.path, Buffer.from(request.data, 'base64'));
      chmodSync(request.path, request.mode);
      return await reply({ id, done: true });
  }
}

const onData = lineSplitter((line) => {
  const request = JSON.parse(line) as Request;
  obey(request).catch((error: Error) => reply({ id: request.id, error: error.message }));
});

for (;;) {
  for await (const chunk of createReadStream('', { fd: descriptor, autoClose: false }))
    onData(chunk as Buffer);
  // The port reads as ended while no host is connected; one may come later.
  await delay(500);
}
