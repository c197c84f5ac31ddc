import { readFileSync } from 'node:fs';

/** The numeric ID of a user or group of this machine by its name, from the local files only; null when there is none. */
function lookUp(file: string, name: string): number | null {
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [entry, , id] = line.split(':');
    if (entry === name && id !== undefined) return Number(id);
  }
  return null;
}

export function userId(name: string): number | null {
  return lookUp('/etc/passwd', name);
}

export function groupId(name: string): number | null {
  return lookUp('/etc/group', name);
}
