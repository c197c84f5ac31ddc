import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { until } from './protocol/until.ts';

const MANAGER = '/lib/systemd/systemd';

/** In namespaces of its own: nothing of it is seen outside, and all of it dies with the first process. */
const SCRIPT = `
set -e
mount -t cgroup2 none /sys/fs/cgroup
mkdir /sys/fs/cgroup/$GROUP
echo $$ > /sys/fs/cgroup/$GROUP/cgroup.procs
mount -t tmpfs none /run
mkdir -p /run/user/0 /run/systemd/system
SYSTEMD_LOG_TARGET=console ${MANAGER} --user &
until systemctl --user list-units > /dev/null 2>&1; do sleep 0.1; done
set +e
echo ready
while read -r command; do
  sh -c "$command" 2>&1 | tr '\\n' ' '
  echo
done
`;

/** Why systemd cannot be run here, or false. */
export function lackingSystemd(): string | false {
  if (process.getuid!() !== 0) return 'not root: namespaces cannot be made';
  try {
    const probe = `test -x ${MANAGER} && mount -t cgroup2 none /sys/fs/cgroup`;
    execFileSync('unshare', ['--mount', '--pid', '--fork', '--cgroup', 'sh', '-c', probe], {
      stdio: 'ignore',
    });
    return false;
  } catch {
    return 'no systemd, or no cgroup2 in a namespace';
  }
}

/** A real systemd that manages the units it is given and nothing else. */
export class PrivateSystemd {
  readonly #process: ChildProcess;
  readonly #folder: string;
  readonly #lines: AsyncIterator<string>;
  readonly #group: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#group = `ivshmem-test-${process.pid}`;
    const namespaces = ['--mount', '--pid', '--mount-proc', '--fork', '--kill-child', '--cgroup'];
    this.#process = spawn('unshare', [...namespaces, 'sh', '-c', SCRIPT], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH, HOME: folder, XDG_RUNTIME_DIR: '/run/user/0', GROUP: this.#group },
    });
    this.#lines = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
  }

  static async start(units: Readonly<Record<string, string>>): Promise<PrivateSystemd> {
    const folder = mkdtempSync(join(tmpdir(), 'ivshmem-systemd-'));
    const where = join(folder, '.config/systemd/user');
    mkdirSync(where, { recursive: true });
    for (const [name, text] of Object.entries(units)) writeFileSync(join(where, name), text);
    const systemd = new PrivateSystemd(folder);
    for (;;) {
      const { value, done } = await systemd.#lines.next();
      if (done === true) throw new Error('systemd did not start');
      if (value === 'ready') return systemd;
    }
  }

  /** Runs systemctl and returns what it prints, on one line. */
  async control(...words: readonly string[]): Promise<string> {
    this.#process.stdin!.write(`systemctl --user ${words.join(' ')}\n`);
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error('systemd has ended');
    return value.trim();
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      const exit = new Promise((resolve) => this.#process.once('exit', resolve));
      this.#process.kill('SIGKILL');
      await exit;
    }
    const clean = `mount -t cgroup2 none /sys/fs/cgroup && find /sys/fs/cgroup/${this.#group} -depth -type d -exec rmdir {} +`;
    // Its processes die in their own time.
    await until('the control group is gone', () => {
      return spawnSync('unshare', ['--mount', '--cgroup', 'sh', '-c', clean]).status === 0;
    });
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
