import type { Entry } from './define.ts';

/** Studies: `ivshmem study`. */
export const studyErrors = {
  ERR_IVSHMEM_STUDY_FOLDER: {
    attempted: 'use {folder} as a study',
    why: '{why}',
    remedy: 'Give a folder that `ivshmem study run` or `make study` wrote.',
    kind: 'usage',
  },
  ERR_IVSHMEM_STUDY_FILE: {
    attempted: 'read {file}, line {line}',
    why: '{why}',
    remedy:
      'Mend or delete the line; what is missing then is measured by the next `study run` in that folder.',
    kind: 'usage',
  },
  ERR_IVSHMEM_STUDY_OTHER_PLAN: {
    attempted: 'go on with the study in {folder}',
    why: 'it was begun with {before}, not with {now}',
    remedy: 'Run it as it was begun, or name another folder.',
    kind: 'usage',
  },
} as const satisfies Record<string, Entry>;
