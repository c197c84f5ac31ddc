/** The baselines: members that read the table every so often. */
export const baselines = [
  { name: 'poll-1s', everyMs: 1000 },
  { name: 'poll-100ms', everyMs: 100 },
] as const;
export type Baseline = (typeof baselines)[number];

/** Pollers of each kind in one run, evenly apart: that many samples of a change. */
export const phases = 4;

/** Who saw it, in a list of sightings. */
export function observerName(member: string, everyMs: number, phase: number): string {
  return `${member}/${everyMs}/${phase}`;
}

export function observers({ everyMs }: Baseline, member: string): string[] {
  return Array.from({ length: phases }, (_, phase) => observerName(member, everyMs, phase));
}
