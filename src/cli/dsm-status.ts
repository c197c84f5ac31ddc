import type { HostsReport, SpacesReport, SpreadPart, SpreadReport } from '../observe/sample.ts';
import { formatBytes } from './print.ts';
import { plain, table } from './table.ts';

/** All spaces as lines of text. */
export function describe({ region, spaces, hosts }: SpacesReport): string[] {
  const head = `region ${plain(region)}: ${spaces.length === 0 ? 'no spaces' : counted(spaces.length, 'space')}`;
  const lines = [head];
  if (spaces.length > 0) {
    const rows = spaces.map(({ name, bytes, memoryBytes, holders, persistent, createdBy }) => [
      plain(name),
      formatBytes(bytes),
      formatBytes(memoryBytes),
      String(holders),
      persistent ? 'yes' : 'no',
      createdBy ? plain(createdBy) : '-',
    ]);
    lines.push(...table(['NAME', 'SIZE', 'TAKES', 'HOLDERS', 'PERSISTENT', 'MADE BY'], rows));
  }
  if (hosts !== undefined) lines.push('', ...among(hosts));
  for (const { name, spread } of spaces) if (spread !== undefined) lines.push('', ...spreading(name, spread));
  return lines;
}

function among({ host, state, trouble, awaySince, epoch, hosts }: HostsReport): string[] {
  const others = hosts.filter(({ name }) => name !== host);
  const rows = others.map(({ name, up, bytesIn, bytesOut, waiting }) => [
    plain(name),
    up ? 'connected' : 'not connected',
    formatBytes(bytesIn),
    formatBytes(bytesOut),
    formatBytes(waiting),
  ]);
  const lines = [`host ${plain(host)}: ${state}, view ${epoch} of ${counted(hosts.length, 'host')}`];
  if (awaySince !== null) lines.push(`the directory is away since ${awaySince}`);
  if (trouble !== null) lines.push(`the directory: ${plain(trouble)}`);
  if (rows.length > 0) lines.push(...table(['HOST', 'STATE', 'IN', 'OUT', 'WAITING'], rows));
  return lines;
}

function spreading(
  name: string,
  { consistency, replicas, copies, pageBytes, pages, hosts }: SpreadReport,
): string[] {
  // Of a space without them there is nothing to say.
  const replicated = replicas > 1;
  const row = (part: SpreadPart): string[] => [
    plain(part.host) + (part.fenced ? ' (fenced)' : ''),
    ...[part.home, ...(replicated ? [part.kept, part.missing] : [])].map(String),
    ...[part.writable, part.readable, part.lost].map(String),
    `${part.frames - part.framesFree}/${part.frames}`,
    ...[part.members, part.faultsLocal, part.faultsRemote, part.evictions].map(String),
    formatBytes(part.pagesIn * pageBytes),
    formatBytes(part.pagesOut * pageBytes),
  ];
  const head = [
    'HOST',
    'HOME',
    ...(replicated ? ['KEPT', 'TOO FEW'] : []),
    'WRITABLE',
    'READABLE',
    'LOST',
    'FRAMES',
    'MEMBERS',
  ];
  return [
    `space ${plain(name)}: ${counted(pages, 'page')} of ${formatBytes(pageBytes)}, ${consistency} consistency${replicated ? `, ${copiesOf(replicas, copies)}` : ''}`,
    ...table([...head, 'FAULTS HERE', 'ELSEWHERE', 'EVICTED', 'IN', 'OUT'], hosts.map(row)),
  ];
}

/** How many hosts have each page. */
function copiesOf(replicas: number, copies: number): string {
  if (copies >= replicas) return `${replicas} replicas`;
  return copies === 0
    ? `${replicas} replicas: pages are lost`
    : `${replicas} replicas: fewer copies than asked for, ${copies}`;
}

export const counted = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
