import type { Entry } from './define.ts';

export const regionErrors = {} as const satisfies Record<string, Entry>;
