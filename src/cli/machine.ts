import type { System } from '../setup/system.ts';

/** How a command reaches the machine it works on. */
export type Connect = () => System | Promise<System>;

/** This machine. Loaded on demand, so that --help starts fast. */
export const live: Connect = async () => (await import('../setup/system.ts')).liveSystem();
