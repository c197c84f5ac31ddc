/** Whoever must say something when the process exits without having closed it. */
export interface Mortal {
  /** Called from process.on('exit'): synchronous, must not throw. */
  dying(): void;
}

const mortals = new Set<Mortal>();

function onExit(): void {
  for (const mortal of mortals) mortal.dying();
}

/** One listener for the whole process, there as long as somebody needs it. */
export function addMortal(mortal: Mortal): void {
  if (mortals.size === 0) process.on('exit', onExit);
  mortals.add(mortal);
}

export function removeMortal(mortal: Mortal): void {
  if (mortals.delete(mortal) && mortals.size === 0) process.removeListener('exit', onExit);
}
