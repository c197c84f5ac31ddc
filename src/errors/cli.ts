import type { Entry } from './define.ts';

export const cliErrors = {} as const satisfies Record<string, Entry>;
