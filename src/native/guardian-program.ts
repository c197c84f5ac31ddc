import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { places } from './places.ts';

/** The path of the guardian's program (native/guardian); undefined where it is not installed. */
export function guardianProgram(): string | undefined {
  return places('guardian', '-guardian')
    .map((place) => fileURLToPath(new URL(place, import.meta.url)))
    .find((path) => existsSync(path));
}
