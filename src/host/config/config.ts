import { readFileSync } from 'node:fs';
import { parse, TomlError } from 'smol-toml';
import type { z } from 'zod';
import { IvshmemError } from '../../errors/index.ts';
import { type ServerConfig, serverSchema } from './schema.ts';

/** Checks a configuration and fills in defaults. `on` names its source. Throws ERR_IVSHMEM_SERVER_CONFIG. */
export function parseConfig(input: unknown, on: string): ServerConfig {
  const result = serverSchema.safeParse(input);
  if (result.success) return result.data;
  const why = result.error.issues
    .flatMap((issue) => innermost(issue))
    .map(({ path, message }) => (path.length === 0 ? message : `${where(path)}: ${message}`))
    .join('; ');
  throw new IvshmemError('ERR_IVSHMEM_SERVER_CONFIG', { on, why });
}

/** Reads a TOML file. Throws ERR_IVSHMEM_SERVER_CONFIG_FILE and ERR_IVSHMEM_SERVER_CONFIG. */
export function readConfig(path: string): ServerConfig {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const why = (cause as Error).message;
    throw new IvshmemError('ERR_IVSHMEM_SERVER_CONFIG_FILE', { on: path, why }, { cause });
  }
  return parseConfig(parseToml(text, path), path);
}

function parseToml(text: string, path: string): unknown {
  try {
    return parse(text);
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause;
    const why = `line ${cause.line}, column ${cause.column}: ${cause.message.split('\n')[0]}`;
    throw new IvshmemError('ERR_IVSHMEM_SERVER_CONFIG', { on: path, why }, { cause });
  }
}

/** Of alternatives that all failed, what the one says that came furthest: "Invalid input" helps nobody. */
function innermost(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const depth = (branch: z.core.$ZodIssue[]): number => Math.max(...branch.map(({ path }) => path.length));
  const [best] = [...issue.errors].sort((a, b) => depth(b) - depth(a));
  if (best === undefined || depth(best) === 0) return [issue];
  return best.flatMap((inner) => innermost({ ...inner, path: [...issue.path, ...inner.path] }));
}

/** regions[0].size */
function where(path: readonly PropertyKey[]): string {
  return path
    .map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${String(key)}`))
    .join('');
}
