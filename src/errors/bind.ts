import type { Entry } from './define.ts';

export const bindErrors = {} as const satisfies Record<string, Entry>;
