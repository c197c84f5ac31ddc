import type { BindRecord } from './record.ts';
import type { Undo } from './undo.ts';

type Check = (value: unknown) => boolean;

const text: Check = (value) => typeof value === 'string';
const textOrNull: Check = (value) => value === null || typeof value === 'string';
const integer: Check = (value) => Number.isSafeInteger(value);

const fields: { readonly [Kind in Undo['kind']]: Readonly<Record<string, Check>> } = {
  probe: { before: textOrNull },
  override: { before: textOrNull },
  bound: { driver: text },
  owner: { path: text, uid: integer, gid: integer },
  parameter: { path: text, before: text },
};

/**
 * The record in a parsed file, its known keys alone. By hand and not with zod, which takes longer to load than `bind`
 * takes to bind. @throws Error that names the first key that is wrong.
 */
export function checkRecord(value: unknown): BindRecord {
  const { version, driver, undo } = object(value, 'the record');
  if (version !== 1) throw new Error(`version is ${JSON.stringify(version)} and not 1`);
  if (typeof driver !== 'string') throw new Error('driver is not text');
  if (!Array.isArray(undo)) throw new Error('undo is not a list');
  return { driver, undo: undo.map(checkUndo) };
}

function checkUndo(value: unknown, index: number): Undo {
  const at = `undo[${index}]`;
  const step = object(value, at);
  const { kind } = step;
  if (typeof kind !== 'string' || !Object.hasOwn(fields, kind))
    throw new Error(`${at}.kind ${JSON.stringify(kind)} is unknown`);
  const checked: Record<string, unknown> = { kind };
  for (const [key, check] of Object.entries(fields[kind as Undo['kind']])) {
    if (!check(step[key])) throw new Error(`${at}.${key} cannot be ${JSON.stringify(step[key])}`);
    checked[key] = step[key];
  }
  return checked as Undo;
}

function object(value: unknown, name: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw new Error(`${name} is not an object`);
}
