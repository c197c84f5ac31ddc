import type { Entry } from './define.ts';

export const virtqueueErrors = {} as const satisfies Record<string, Entry>;
