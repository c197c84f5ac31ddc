import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import { PciAddress } from '../../src/pci/address.ts';
import { PciSysfs } from '../../src/pci/sysfs.ts';
import { type Outcome, type Owner, type System, systemAt } from '../../src/setup/system.ts';
import { FAKE_RELEASE, type FakeMachine, FakeSysfs } from '../../src/testing/fake-sysfs.ts';

export const ADDRESS = '0000:00:05.0';
export const SECOND = '0000:00:06.0';

export interface Machine {
  readonly fake: FakeSysfs;
  readonly system: System;
  /** Programs that were run, as one string each. */
  readonly ran: string[];
  readonly owners: Map<string, Owner>;
  readonly failChown: { on?: string };
  put(path: string, content: string): void;
  device(address?: string): ReturnType<PciSysfs['function']>;
}

/** A fake machine with root rights; alice is uid 1000, gid 1001. */
export function machine(t: Test, literal: FakeMachine, overrides: Partial<System> = {}): Machine {
  const fake = new FakeSysfs(t.testdir(), literal);
  const ran: string[] = [];
  const owners = new Map<string, Owner>();
  const failChown: { on?: string } = {};
  const run = (command: string, args: readonly string[]): Outcome => {
    ran.push([command, ...args].join(' '));
    const done = (status: number, stdout = '', stderr = '') => ({ status, stdout, stderr });
    if (command === 'modprobe') {
      return fake.modprobe(args[0]!) ? done(0) : done(1, '', `modprobe: FATAL: Module ${args[0]} not found.`);
    }
    if (command === 'getent') {
      return args[1] === 'alice' || args[1] === '1000' ? done(0, 'alice:x:1000:1001::/:/bin/sh\n') : done(2);
    }
    return done(0);
  };
  const system = systemAt(fake.root, {
    uid: 0,
    release: FAKE_RELEASE,
    pci: new PciSysfs(join(fake.root, 'sys'), fake.write),
    run,
    owner: (path) => owners.get(path) ?? { uid: 0, gid: 0 },
    chown: (path, { uid, gid }) => {
      if (failChown.on !== undefined && path.endsWith(failChown.on)) throw new Error('EPERM: chown');
      owners.set(path, { uid, gid });
    },
    ...overrides,
  });
  return {
    fake,
    system,
    ran,
    owners,
    failChown,
    put: (path, content) => {
      mkdirSync(dirname(join(fake.root, path)), { recursive: true });
      writeFileSync(join(fake.root, path), content);
    },
    device: (address = ADDRESS) => system.pci.function(PciAddress.parse(address)!),
  };
}

/** The files that have another owner than root. */
export function given(m: Machine): string[] {
  return [...m.owners]
    .filter(([, { uid }]) => uid !== 0)
    .map(([path]) => path.slice(m.fake.root.length))
    .sort();
}
