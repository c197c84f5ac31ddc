import { IvshmemError } from '../errors/index.ts';

/** How a value of one type lies in memory: little-endian, at a multiple of `align`. */
export interface Type<T> {
  readonly bytes: number;
  readonly align: number;
  /** False for what is a view of its own, whose parts are stored to. */
  readonly writable: boolean;
  read(view: DataView, at: number): T;
  write(view: DataView, at: number, value: T): void;
}

function scalar<T>(
  bytes: number,
  read: (view: DataView, at: number) => T,
  write: (view: DataView, at: number, value: T) => void,
): Type<T> {
  return { bytes, align: bytes, writable: true, read, write };
}

export const scalars = {
  i8: scalar(
    1,
    (v, at) => v.getInt8(at),
    (v, at, x: number) => v.setInt8(at, x),
  ),
  u8: scalar(
    1,
    (v, at) => v.getUint8(at),
    (v, at, x: number) => v.setUint8(at, x),
  ),
  i16: scalar(
    2,
    (v, at) => v.getInt16(at, true),
    (v, at, x: number) => v.setInt16(at, x, true),
  ),
  u16: scalar(
    2,
    (v, at) => v.getUint16(at, true),
    (v, at, x: number) => v.setUint16(at, x, true),
  ),
  i32: scalar(
    4,
    (v, at) => v.getInt32(at, true),
    (v, at, x: number) => v.setInt32(at, x, true),
  ),
  u32: scalar(
    4,
    (v, at) => v.getUint32(at, true),
    (v, at, x: number) => v.setUint32(at, x, true),
  ),
  i64: scalar(
    8,
    (v, at) => v.getBigInt64(at, true),
    (v, at, x: bigint) => v.setBigInt64(at, x, true),
  ),
  u64: scalar(
    8,
    (v, at) => v.getBigUint64(at, true),
    (v, at, x: bigint) => v.setBigUint64(at, x, true),
  ),
  f32: scalar(
    4,
    (v, at) => v.getFloat32(at, true),
    (v, at, x: number) => v.setFloat32(at, x, true),
  ),
  f64: scalar(
    8,
    (v, at) => v.getFloat64(at, true),
    (v, at, x: number) => v.setFloat64(at, x, true),
  ),
} as const;

/** An offset in the same buffer, as heap.alloc gives it; 0 is none. 64 bits, of which 53 are used. */
export const pointer: Type<number> = scalar(
  8,
  (view, at) => view.getUint32(at, true) + (view.getUint32(at + 4, true) & 0x1fffff) * 2 ** 32,
  (view, at, offset) => {
    view.setUint32(at, offset >>> 0, true);
    view.setUint32(at + 4, Math.floor(offset / 2 ** 32), true);
  },
);

/** So many bytes. Reads as a Uint8Array over the memory itself; storing copies from one that is not longer, and clears the rest. */
export function bytes(length: number): Type<Uint8Array> {
  requireLength('bytes', length);
  const at = (view: DataView, offset: number) =>
    new Uint8Array(view.buffer, view.byteOffset + offset, length);
  return {
    bytes: length,
    align: 1,
    writable: true,
    read: at,
    write(view, offset, value) {
      if (value.length > length) throw tooLong('bytes', value.length, length);
      at(view, offset).fill(0, value.length).set(value);
    },
  };
}

/** UTF-8 text of at most so many bytes, NUL-padded. */
export function text(length: number): Type<string> {
  const raw = bytes(length);
  return {
    bytes: length,
    align: 1,
    writable: true,
    read(view, at) {
      const all = raw.read(view, at);
      const end = all.indexOf(0);
      return new TextDecoder().decode(all.slice(0, end < 0 ? length : end));
    },
    write: (view, at, value) => raw.write(view, at, new TextEncoder().encode(value)),
  };
}

/** So many values of one type, by index. Reading beyond gives undefined, storing there an error. */
export interface ArrayView<T> extends Iterable<T> {
  readonly length: number;
  get(index: number): T | undefined;
  set(index: number, value: T): void;
}

class Elements<T> implements ArrayView<T> {
  readonly length: number;
  readonly #type: Type<T>;
  readonly #view: DataView;
  readonly #at: number;

  constructor(type: Type<T>, length: number, view: DataView, at: number) {
    this.#type = type;
    this.length = length;
    this.#view = view;
    this.#at = at;
  }

  get(index: number): T | undefined {
    if (!(index >= 0 && index < this.length)) return undefined;
    return this.#type.read(this.#view, this.#at + index * this.#type.bytes);
  }

  set(index: number, value: T): void {
    if (!Number.isInteger(index) || index < 0 || index >= this.length)
      throw tooLong('array', index + 1, this.length);
    this.#type.write(this.#view, this.#at + index * this.#type.bytes, value);
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let n = 0; n < this.length; n++) yield this.get(n)!;
  }
}

export function array<K extends keyof typeof scalars>(
  of: K,
  length: number,
): Type<ArrayView<ReturnType<(typeof scalars)[K]['read']>>>;
export function array<T>(of: Type<T>, length: number): Type<ArrayView<T>>;
export function array<T>(of: Type<T> | keyof typeof scalars, length: number): Type<ArrayView<T>> {
  const type = (typeof of === 'string' ? scalars[of] : of) as Type<T>;
  requireLength('array', length);
  return {
    bytes: type.bytes * length,
    align: type.align,
    writable: false,
    read: (view, at) => new Elements(type, length, view, at),
    write: () => {
      throw new IvshmemError('ERR_IVSHMEM_STRUCT_FIELD', { field: 'array', why: 'is stored to by element' });
    },
  };
}

function requireLength(field: string, length: number): void {
  if (Number.isInteger(length) && length >= 1 && length <= 2 ** 31 - 1) return;
  throw new IvshmemError('ERR_IVSHMEM_STRUCT_FIELD', { field, why: `has ${length} elements` });
}

function tooLong(field: string, found: number, most: number): IvshmemError {
  return new IvshmemError('ERR_IVSHMEM_STRUCT_FIELD', { field, why: `holds ${most}, not ${found}` });
}
