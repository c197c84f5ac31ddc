import type { Entry } from './define.ts';

export const serverErrors = {} as const satisfies Record<string, Entry>;
