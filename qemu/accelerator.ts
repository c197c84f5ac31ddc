import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import type { BaseImage } from '../guest-image/base.ts';
import { cacheDirectory, contentHash } from '../guest-image/cache.ts';
import { command } from '../guest-image/command.ts';
import type { Accelerator } from './options.ts';

/** Boots in 1 to 2 s where KVM works; where it does not, QEMU dies at once or hangs for good. */
const patience = 6000;
const marker = 'guest: kernel is up';

// kernel-irqchip=split: interrupt remapping of the emulated IOMMU needs it.
// What emulation pays for: page walks of five levels (la57); string instructions that copy byte by byte, which the kernel prefers
// where the processor says that they are fast (erms, fsrm); a check around each access of the kernel to a program's memory (smap);
// detours around the speculation of real processors (mitigations); and code that is somewhere else in each process
// (norandmaps: with it, the start of a program that ran before takes half the time, for its translation is found again).
const known: Readonly<Record<string, Accelerator>> = {
  kvm: { accel: 'kvm,kernel-irqchip=split', cpu: 'host' },
  tcg: {
    accel: 'tcg,thread=multi',
    cpu: 'max,la57=off,erms=off,fsrm=off,smap=off',
    append: 'mitigations=off norandmaps',
  },
};

/**
 * The accelerator for VMs on this machine: ACCEL (kvm, tcg, or a value for -accel), else KVM when this kernel and this
 * QEMU really boot the guest's kernel with it, else TCG. The verdict is kept in the cache: /dev/kvm being there and
 * opening says little where a hypervisor below does not play along.
 */
export async function chooseAccelerator(image: BaseImage): Promise<Accelerator> {
  const asked = process.env.ACCEL;
  if (asked) return known[asked] ?? { accel: asked, cpu: 'max' };
  if (!existsSync('/dev/kvm')) return known.tcg!;
  const version = await command('qemu-system-x86_64', ['--version']);
  const machine = [release(), cpus()[0]?.model ?? '', version, image.kernel];
  const file = join(cacheDirectory('accelerator'), contentHash(machine, []));
  if (existsSync(file)) return known[readFileSync(file, 'utf8').trim()] ?? known.tcg!;
  const verdict = (await boots(image, known.kvm!)) ? 'kvm' : 'tcg';
  writeFileSync(file, `${verdict}\n`);
  return known[verdict]!;
}

/** Whether the guest's kernel reaches its first process under an accelerator. */
function boots(image: BaseImage, { accel, cpu }: Accelerator): Promise<boolean> {
  const machine = [
    '-nodefaults',
    '-no-user-config',
    '-display',
    'none',
    '-machine',
    'q35',
    '-m',
    '256M',
    '-no-reboot',
  ];
  const kernel = [
    '-kernel',
    image.kernel,
    '-initrd',
    image.initramfs,
    '-append',
    'console=ttyS0 quiet panic=-1',
  ];
  const args = [...machine, '-accel', accel, '-cpu', cpu, '-serial', 'stdio', ...kernel];
  return new Promise((resolve) => {
    const guard = ['--pdeathsig', 'KILL', 'qemu-system-x86_64'];
    const child = spawn('setpriv', [...guard, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
    let said = '';
    const end = (verdict: boolean) => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      resolve(verdict);
    };
    const timer = setTimeout(end, patience, false);
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString('latin1');
      if (said.includes(marker)) end(true);
    });
    child.once('error', () => end(false));
    child.once('exit', () => end(false));
  });
}
