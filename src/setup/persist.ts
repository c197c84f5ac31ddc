import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { IvshmemError } from '../errors/index.ts';
import type { System } from './system.ts';

const UNITS = '/etc/systemd/system';
const WANTS = `${UNITS}/multi-user.target.wants`;
const MODULES = '/etc/modules-load.d';
const OURS = /^ivshmem-bind(-[\w.-]+)?\.service$/;

export interface Persistence {
  /** Words that run this program again: interpreter, its options, script. */
  readonly program: readonly string[];
  /** PCI address or region name; undefined means the only device. */
  readonly selector: string | undefined;
  /** Options of `bind` to repeat at boot. */
  readonly options: readonly string[];
  /** The module loaded before the unit runs. */
  readonly module: string;
}

interface File {
  readonly path: string;
  readonly content: string;
}

/** The systemd unit of a selector: everything but letters, digits, _ and . becomes "-" and two hex digits. */
export function unitName(selector: string | undefined): string {
  if (selector === undefined) return 'ivshmem-bind.service';
  const encoded = [...Buffer.from(selector)]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return /[A-Za-z0-9_.]/.test(character) ? character : `-${byte.toString(16).padStart(2, '0')}`;
    })
    .join('');
  return `ivshmem-bind-${encoded}.service`;
}

/** Names of the units that `bind --persist` wrote. */
export function persistedUnits(system: System): string[] {
  const directory = system.path(UNITS);
  return existsSync(directory)
    ? readdirSync(directory)
        .filter((name) => OURS.test(name))
        .sort()
    : [];
}

/** What `persist` would write, in words; empty when it is all there. ERR_IVSHMEM_BIND_PERSIST without systemd. */
export function planPersist(system: System, wanted: readonly Persistence[]): string[] {
  if (!existsSync(system.path('/run/systemd/system')) && !existsSync(system.path('/lib/systemd/systemd'))) {
    throw new IvshmemError('ERR_IVSHMEM_BIND_PERSIST', { why: 'this machine does not have systemd' });
  }
  return wanted.flatMap((item) => {
    const missing = files(system, item).filter((file) => read(file.path) !== file.content);
    const steps = missing.map((file) => `write ${file.path}`);
    return exists(link(system, item)) ? steps : [...steps, `enable ${unitName(item.selector)}`];
  });
}

/** Writes and enables a unit per selector, all or none. ERR_IVSHMEM_BIND_PERSIST when that fails. */
export function persist(system: System, wanted: readonly Persistence[]): void {
  const undo: (() => void)[] = [];
  try {
    for (const item of wanted) {
      for (const file of files(system, item)) {
        mkdirSync(dirname(file.path), { recursive: true });
        const before = read(file.path);
        undo.push(() => (before === undefined ? remove(file.path) : writeFileSync(file.path, before)));
        writeFileSync(file.path, file.content, { mode: 0o644 });
      }
      const path = link(system, item);
      if (exists(path)) continue;
      undo.push(() => remove(path));
      mkdirSync(dirname(path), { recursive: true });
      symlinkSync(`../${unitName(item.selector)}`, path);
    }
  } catch (cause) {
    for (const action of undo.reverse()) action();
    throw new IvshmemError('ERR_IVSHMEM_BIND_PERSIST', { why: (cause as Error).message }, { cause });
  }
  reload(system);
}

/** Removes the units of these selectors, or all of ours. Returns what was removed. */
export function unpersist(
  system: System,
  selectors: readonly (string | undefined)[] | 'all',
  dryRun = false,
): string[] {
  const names = new Set(selectors === 'all' ? persistedUnits(system) : selectors.map(unitName));
  const steps: string[] = [];
  for (const name of names) {
    const paths = [`${WANTS}/${name}`, `${UNITS}/${name}`, `${MODULES}/${modulesName(name)}`];
    for (const path of paths.map(system.path).filter(exists)) {
      if (!dryRun) remove(path);
      steps.push(`remove ${path}`);
    }
  }
  if (steps.length > 0 && !dryRun) reload(system);
  return steps;
}

function files(system: System, item: Persistence): File[] {
  const name = unitName(item.selector);
  const words = [...item.program, 'bind', ...item.options];
  if (item.selector !== undefined) words.push('--', item.selector);
  const unit = [
    '[Unit]',
    'Description=Give the ivshmem device to its userspace driver',
    'After=systemd-modules-load.service systemd-udevd.service',
    '',
    '[Service]',
    'Type=oneshot',
    'RemainAfterExit=yes',
    `ExecStart=${words.map(quote).join(' ')}`,
    '',
    '[Install]',
    'WantedBy=multi-user.target',
    '',
  ].join('\n');
  return [
    { path: system.path(`${UNITS}/${name}`), content: unit },
    { path: system.path(`${MODULES}/${modulesName(name)}`), content: `${item.module}\n` },
  ];
}

/** systemd.service(5), "Command lines": double quotes, C escapes, and % and $ doubled. */
function quote(word: string): string {
  return `"${word.replace(/[\\"]/g, '\\$&').replace(/[%$]/g, '$&$&')}"`;
}

function modulesName(unit: string): string {
  return unit.replace(/\.service$/, '.conf');
}

function link(system: System, item: Persistence): string {
  return system.path(`${WANTS}/${unitName(item.selector)}`);
}

function reload(system: System): void {
  // In an image or container systemd is installed but not running; it reads the unit when it boots.
  if (existsSync(system.path('/run/systemd/system'))) system.run('systemctl', ['daemon-reload']);
}

function read(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

function remove(path: string): void {
  rmSync(path, { force: true });
}

/** Also true for a link that leads nowhere. */
function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
