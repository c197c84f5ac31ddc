import { cpus, release } from 'node:os';
import { baseImage } from '../guest-image/base.ts';
import { command } from '../guest-image/command.ts';
import { chooseAccelerator } from './accelerator.ts';

/** How the guests run here, as it stands beside figures: `KVM`, or `TCG, emulated`. */
export async function accelerator(): Promise<string> {
  const { accel } = await chooseAccelerator(await baseImage({}));
  const name = accel.split(',')[0]!;
  return name === 'tcg' ? 'TCG, emulated' : name.toUpperCase();
}

/** What must stand beside every figure taken in VMs: processor, kernel, QEMU and accelerator of this machine, one line. */
export async function machineLine(): Promise<string> {
  const { accel } = await chooseAccelerator(await baseImage({}));
  const [qemu] = (await command('qemu-system-x86_64', ['--version'])).split('\n');
  const [cpu] = cpus();
  return `${cpu?.model.trim()}, ${cpus().length} processors; Linux ${release()}; ${qemu}; accelerator ${accel.split(',')[0]}`;
}
