import type { Entry } from './define.ts';

export const channelErrors = {} as const satisfies Record<string, Entry>;
