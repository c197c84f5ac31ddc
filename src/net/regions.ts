import type { Region } from '../channel/index.ts';
import { Participant, type ParticipantOptions } from './participant.ts';

const participants = new WeakMap<Region, Participant>();
let chosen: Participant | null = null;

/**
 * From now on servers that begin to listen and sockets that connect take part in this region; null: in none, unless they are
 * given one. Resolves when the region's members are known.
 */
export async function setRegion(region: Region | null, options: ParticipantOptions = {}): Promise<void> {
  chosen = region === null ? null : participantIn(region, options);
  await chosen?.ready;
}

/** For followRegion. `instead`: only if that one is chosen. */
export function chooseParticipant(participant: Participant | null, instead?: Participant): void {
  if (instead === undefined || chosen === instead) chosen = participant;
}

/** The participant in a region, or in the one of `setRegion`; null for none. */
export function participantOf(region: Region | null | undefined): Participant | null {
  if (region === undefined) return chosen;
  return region === null ? null : participantIn(region, {});
}

function participantIn(region: Region, options: ParticipantOptions): Participant {
  let participant = participants.get(region);
  if (participant === undefined) {
    participant = new Participant(region, options);
    participants.set(region, participant);
  }
  return participant;
}
