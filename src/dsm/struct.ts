import { IvshmemError } from '../errors/index.ts';
import { scalars, type Type } from './struct-types.ts';

export type FieldType = keyof typeof scalars | Type<unknown> | StructType<Fields>;
export type Fields = Readonly<Record<string, FieldType>>;

type ValueOf<F> = F extends keyof typeof scalars
  ? ReturnType<(typeof scalars)[F]['read']>
  : F extends StructType<infer G>
    ? StructView<G>
    : F extends Type<infer T>
      ? T
      : never;

/** What a struct of these fields reads and stores like: an object whose properties are the memory. */
export type StructView<F extends Fields> = { -readonly [K in keyof F]: ValueOf<F[K]> } & {
  /** Of its first byte in the buffer. */
  readonly offset: number;
};

/** Where structs can be: a Space, a Heap, or anything with a buffer. */
export interface Place {
  readonly buffer: ArrayBuffer;
}

export interface StructType<F extends Fields> extends Type<StructView<F>> {
  /** Offset of each field, in bytes. */
  readonly offsets: Readonly<Record<keyof F, number>>;
  /** A view of the struct at an offset. Errors: ERR_IVSHMEM_STRUCT_PLACE. */
  at(place: Place, offset: number): StructView<F>;
  /** A new one, all zero; null when the heap is full. */
  alloc(
    heap: Place & { alloc(bytes: number, options?: { into?: number }): number },
    into?: number,
  ): StructView<F> | null;
}

const views = new WeakMap<ArrayBuffer, DataView>();

/** One view for each buffer, so that all structs in it go the same way through the optimizer. */
function viewOf(buffer: ArrayBuffer): DataView {
  let view = views.get(buffer);
  if (view === undefined) {
    view = new DataView(buffer);
    views.set(buffer, view);
  }
  return view;
}

const TAKEN = new Set(['offset', 'constructor', '__proto__']);

/**
 * A struct type: fields one after the other, each at a multiple of its size as in C, so that programs in other languages can share it.
 *
 *     const Job = struct({ id: 'u32', state: 'u8', next: pointer, name: text(32) });
 *     const job = Job.alloc(heap);
 *     job.id = 7;
 *
 * Loads and stores are plain ones: two members that use one struct at once want a mutex, or Atomics on the buffer.
 */
export function struct<const F extends Fields>(fields: F): StructType<F> {
  class View {
    readonly view: DataView;
    readonly offset: number;

    constructor(view: DataView, offset: number) {
      this.view = view;
      this.offset = offset;
    }
  }
  const offsets: Record<string, number> = {};
  let end = 0;
  let align = 1;
  for (const [name, field] of Object.entries(fields)) {
    const type = typeOf(name, field);
    const at = Math.ceil(end / type.align) * type.align;
    offsets[name] = at;
    end = at + type.bytes;
    align = Math.max(align, type.align);
    Object.defineProperty(View.prototype, name, {
      enumerable: true,
      get(this: View) {
        return type.read(this.view, this.offset + at);
      },
      set(this: View, value: unknown) {
        type.write(this.view, this.offset + at, value);
      },
    });
  }
  if (end === 0) throw new IvshmemError('ERR_IVSHMEM_STRUCT_FIELD', { field: '', why: 'is the only one' });
  const bytes = Math.ceil(end / align) * align;
  const at = (place: Place, offset: number): StructView<F> => {
    const refuse = (why: string): never => {
      throw new IvshmemError('ERR_IVSHMEM_STRUCT_PLACE', { bytes, offset, why });
    };
    if (!Number.isInteger(offset / align) || offset < 0) refuse(`it has to be at a multiple of ${align}`);
    if (offset + bytes > place.buffer.byteLength) refuse(`the buffer has ${place.buffer.byteLength} bytes`);
    return new View(viewOf(place.buffer), offset) as unknown as StructView<F>;
  };
  const type: StructType<F> = {
    bytes,
    align,
    offsets: offsets as Record<keyof F, number>,
    at,
    alloc(heap, into) {
      const offset = heap.alloc(bytes, into === undefined ? {} : { into });
      if (offset === 0) return null;
      new Uint8Array(heap.buffer, offset, bytes).fill(0);
      return at(heap, offset);
    },
    // As a field of another one:
    writable: false,
    read: (view, offset) => new View(view, offset) as unknown as StructView<F>,
    write: () => {
      throw new IvshmemError('ERR_IVSHMEM_STRUCT_FIELD', { field: 'struct', why: 'is stored to by field' });
    },
  };
  return type;
}

function typeOf(field: string, type: FieldType): Type<unknown> {
  const refuse = (why: string): never => {
    throw new IvshmemError('ERR_IVSHMEM_STRUCT_FIELD', { field, why });
  };
  if (TAKEN.has(field) || field === 'view') refuse('has a name that views use themselves');
  if (typeof type === 'string')
    return (
      Object.hasOwn(scalars, type) ? scalars[type] : refuse(`is of no type "${type}"`)
    ) as Type<unknown>;
  if (typeof type !== 'object' || type === null || !('read' in type)) refuse('is of no type');
  return type as Type<unknown>;
}
