import type { Entry } from './define.ts';

/** Synchronization, heap and structs in a space (docs/dsm-synchronization.md). */
export const dsmSyncErrors = {
  ERR_IVSHMEM_SYNC_NAME: {
    attempted: 'use the {kind} "{name}" of a space',
    why: 'that is not a name for one',
    remedy: 'Names are 1 to 64 bytes of UTF-8 without control characters.',
    kind: 'usage',
  },
  ERR_IVSHMEM_SYNC_KIND: {
    attempted: 'use the {kind} "{name}" of a space',
    why: 'there is a {found} of that name',
    remedy: 'All programs that use a space have to agree; choose another name for one of the two.',
    kind: 'usage',
  },
  ERR_IVSHMEM_SYNC_PARAMETER: {
    attempted: 'use the {kind} "{name}" of a space',
    why: '{parameter} is {found}',
    remedy: 'It has to be {wanted}.',
    kind: 'usage',
  },
  ERR_IVSHMEM_SYNC_FULL: {
    attempted: 'make the {kind} "{name}" in a space',
    why: 'it holds {most} named objects already',
    remedy: 'Objects live as long as their space: use fewer names, or several spaces.',
    kind: 'failure',
  },
  ERR_IVSHMEM_SYNC_NOT_HELD: {
    attempted: 'release the {kind} "{name}"',
    why: 'this program does not hold it',
    remedy: 'Release what was locked once, by the program that locked it.',
    kind: 'usage',
  },
  ERR_IVSHMEM_SYNC_LOST: {
    attempted: 'release the {kind} "{name}"',
    why: 'it belongs to somebody else by now: this member was taken for dead, or its memory was written over',
    remedy:
      'Do not trust what was changed under it; look for an eviction, and for programs that write outside their data.',
    kind: 'failure',
  },
  ERR_IVSHMEM_SYNC_CLOSED: {
    attempted: 'use the {kind} "{name}" of a space',
    why: 'the space was closed, or its memory is gone',
    remedy: 'Open the space again.',
    kind: 'failure',
  },
  ERR_IVSHMEM_SYNC_BLOCKS: {
    attempted: 'block this thread for the {kind} "{name}" of a space',
    why: 'it opened the space, or is the main thread: its event loop would stand still',
    remedy:
      'Use the method that returns a promise; or attach the space in a worker (`attachSpace(space.share())`), in the main thread with `mayBlock: true`.',
    kind: 'usage',
  },
  ERR_IVSHMEM_SYNC_ITSELF: {
    attempted: 'block this thread for the {kind} "{name}" of a space',
    why: 'this thread has it: it would wait for itself for ever',
    remedy: 'Release it first. Nothing here is recursive.',
    kind: 'usage',
  },
  ERR_IVSHMEM_SHARE: {
    attempted: '{operation}',
    why: '{why}',
    remedy:
      'Give a thread of the same process what `space.share()` returned, while the space is open there. At most 255 slots and threads take part in a space.',
    kind: 'failure',
  },
  ERR_IVSHMEM_SYNC_GONE: {
    attempted: 'synchronize the members of the space {name}',
    why: 'what they use for it is gone: {why}',
    remedy: 'Nothing is held or waited for any more. Close the space in all members, and begin anew.',
    kind: 'failure',
  },
  ERR_IVSHMEM_SYNC_DAMAGED: {
    attempted: 'use the {kind} "{name}" of a space',
    why: 'the table of named objects makes no sense',
    remedy:
      'Some member wrote over the system part of the space. Find it, remove the space and make it again.',
    kind: 'failure',
  },
  ERR_IVSHMEM_BARRIER_BROKEN: {
    attempted: 'pass the barrier "{name}"',
    why: 'a member that takes part in it died, or left while others waited',
    remedy:
      'Bring the work to a known state, then call reset() in one member and go on with as many parties as the barrier has.',
    kind: 'failure',
  },
  ERR_IVSHMEM_HEAP_SIZE: {
    attempted: 'make a heap in a space',
    why: 'it has {bytes} bytes',
    remedy: 'A heap takes 8 KiB to 8 GiB.',
    kind: 'usage',
  },
  ERR_IVSHMEM_HEAP_ARGUMENT: {
    attempted: '{operation} in the heap of a space',
    why: '{parameter} is {found}',
    remedy: 'It has to be {wanted}.',
    kind: 'usage',
  },
  ERR_IVSHMEM_HEAP_BUSY: {
    attempted: '{operation} in the heap of a space',
    why: 'the member in slot {slot} holds it for {waited} ms now',
    remedy:
      'That program is stopped (a debugger, a paused VM), or the machine is overloaded. Nothing was changed: `await heap.whenFree()` and try again.',
    kind: 'failure',
  },
  ERR_IVSHMEM_HEAP_DAMAGED: {
    attempted: '{operation} in the heap of a space',
    why: 'the block at offset {offset} makes no sense',
    remedy:
      'Some program wrote outside what it had allocated. Nothing was changed; make the space again from a known state.',
    kind: 'failure',
  },
  ERR_IVSHMEM_STRUCT_FIELD: {
    attempted: 'define a struct',
    why: 'the field "{field}" {why}',
    remedy: 'Types are those of FieldType, pointer, bytes(n), text(n), array(type, n) and other structs.',
    kind: 'usage',
  },
  ERR_IVSHMEM_STRUCT_PLACE: {
    attempted: 'view a struct of {bytes} bytes at offset {offset}',
    why: '{why}',
    remedy: 'Offsets are those of heap.alloc() or of pointers, in the buffer they belong to.',
    kind: 'usage',
  },
} as const satisfies Record<string, Entry>;
