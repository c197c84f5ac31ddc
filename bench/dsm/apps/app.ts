import { randomSource } from '../../harness/statistics.ts';

/** Work is cut into so many parts, whoever does them: sums come out the same to the last bit. */
export const PARTS = 2;

/** A member of a run that works in memory which all have. */
export interface Together {
  readonly member: number;
  readonly members: number;
  /** Resolves when all members have called it. */
  meet(): Promise<void>;
  /** Where memory moves between hosts. */
  readonly pages?: Pages;
}

/** Elements `from` to `to` of a view, which a member says it will use: otherwise they come page by page, when they are touched. */
export interface Pages {
  /** Asks for them, and goes on. */
  ahead(view: Numbers, from: number, to: number, access: 'read' | 'write'): void;
  /** Resolves when they are here. */
  bring(view: Numbers, from: number, to: number, access: 'read' | 'write'): Promise<void>;
}

type Numbers = Float64Array | Int32Array;

/** What members of different hosts write lies that far apart, so that a page has one of them at a time. */
export const APART_BYTES = 4096;

/** A member of a run of two that has memory of its own and sends messages to the other. They come in order, whole. */
export interface Apart {
  readonly member: number;
  send(bytes: Uint8Array): Promise<void>;
  /** Fills `into` with the next message, which has to be as long. */
  receive(into: Uint8Array): Promise<void>;
  /** As receive(), if one is there now. */
  poll(into: Uint8Array): boolean;
}

/** A program laid out in one buffer, so that shared and private memory differ in nothing but where they are. */
export interface App {
  /** Input, by member 0, before any run. */
  prepare(): void;
  /** One run. With one member this is the program of one process. */
  together(members: Together): Promise<void>;
  /** One run: member 0 has the input before it and the result after it. */
  apart(members: Apart): Promise<void>;
  /** Of the result, where member 0 has it. */
  digest(): number;
}

export interface AppKind {
  readonly name: string;
  /** Of memory that moves between hosts, bytes: how much of it goes with what is touched. */
  readonly pageBytes: number;
  /** Bytes of memory for a problem of size `n`. */
  bytes(n: number): number;
  /** Sizes of the problem: what is measured, and what tests try. */
  readonly size: number;
  readonly small: number;
  on(buffer: ArrayBuffer, n: number): App;
}

/** Which parts a member does. */
export function partsOf({ member, members }: Together): number[] {
  return Array.from({ length: PARTS }, (_, part) => part).filter((part) => part % members === member);
}

/** Where part `part` of `count` things begins (and the one before it ends). */
export function cut(part: number, count: number): number {
  return Math.floor((count * part) / PARTS);
}

/** The same numbers in every run. */
export function numbers(into: Float64Array | Int32Array, most: number): void {
  const random = randomSource(7);
  for (let i = 0; i < into.length; i++) into[i] = random() * most;
}

/** The bytes under a view. */
export function raw(view: Float64Array | Int32Array, from = 0, to = view.length): Uint8Array {
  const size = view.BYTES_PER_ELEMENT;
  return new Uint8Array(view.buffer, view.byteOffset + from * size, (to - from) * size);
}

/** Of the bits of some numbers: the same only for the same numbers in the same places. */
export function digestOf(view: Float64Array | Int32Array): number {
  const words = new Int32Array(view.buffer, view.byteOffset, view.byteLength / 4);
  let hash = 0x811c9dc5;
  for (let i = 0; i < words.length; i++) hash = Math.imul(hash ^ words[i]!, 0x01000193);
  return hash >>> 0;
}
