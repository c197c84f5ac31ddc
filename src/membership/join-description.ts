import { type Description, encodeDescription, fittingAddresses, ownAddresses } from './description.ts';
import type { Views } from './views.ts';

/**
 * What a member says of itself when it joins, for HELLO: what it was given, and the addresses of the machine unless others were
 * given. ERR_IVSHMEM_MEMBERSHIP_DESCRIPTION when it does not fit, _ABSENT when it was given and the region has no membership.
 */
export function joinDescription(views: Views, { addresses, labels }: Description): Uint8Array {
  const asked = addresses !== undefined || labels !== undefined;
  if (!asked && !views.present) return new Uint8Array(0);
  const described = { addresses: addresses ?? fittingAddresses(ownAddresses()), labels: labels ?? {} };
  const draft = encodeDescription(described);
  views.described(described);
  return draft;
}
