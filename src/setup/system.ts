import { spawnSync } from 'node:child_process';
import { chownSync, statSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { PciSysfs } from '../pci/sysfs.ts';

export interface Outcome {
  /** Exit status; 127 when the program is not there, 128 when it was killed or ran too long. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** What the set-up commands touch of a machine; tests put a directory and a model of the kernel in its place. */
export interface System {
  /** Effective user id. */
  readonly uid: number;
  /** Kernel release, as `uname -r`. */
  readonly release: string;
  readonly pci: PciSysfs;
  /** Where an absolute path of the machine is found. */
  path(absolute: string): string;
  /** Runs a program to its end, at most `timeoutMs` (default 30000). Never throws. */
  run(command: string, args: readonly string[], timeoutMs?: number): Outcome;
  owner(path: string): Owner;
  chown(path: string, owner: Owner): void;
}

/** The machine this process runs on. */
export function liveSystem(): System {
  return {
    uid: process.geteuid?.() ?? -1,
    release: release(),
    pci: new PciSysfs(),
    path: (absolute) => absolute,
    run: runProgram,
    owner: (path) => {
      const { uid, gid } = statSync(path);
      return { uid, gid };
    },
    chown: (path, { uid, gid }) => chownSync(path, uid, gid),
  };
}

/** The machine below another root directory, written to as plain files: for tests and for images. */
export function systemAt(root: string, overrides: Partial<System> = {}): System {
  const path = (absolute: string) => join(root, absolute);
  return { ...liveSystem(), pci: new PciSysfs(path('/sys')), path, ...overrides };
}

function runProgram(command: string, args: readonly string[], timeoutMs = 30_000): Outcome {
  const result = spawnSync(command, args, {
    encoding: 'utf8',
    timeout: timeoutMs,
    stdio: ['ignore', 'pipe', 'pipe'],
    // modprobe and udevadm live in sbin, which an ordinary user's PATH leaves out.
    env: { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin` },
  });
  if (result.error !== undefined) {
    const { code } = result.error as NodeJS.ErrnoException;
    return { status: code === 'ENOENT' ? 127 : 128, stdout: '', stderr: result.error.message };
  }
  return { status: result.status ?? 128, stdout: result.stdout, stderr: result.stderr };
}
