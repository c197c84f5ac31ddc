import { isIvshmemError } from '../errors/index.ts';
import type { Attachment } from './attachment.ts';
import { type Description, fittingAddresses, ownAddresses } from './description.ts';
import type { Views } from './views.ts';

/**
 * What a member says of itself when it joins: what it was given, and the addresses of the machine unless others were given. Those
 * are a courtesy: a server that does not want them is no reason not to join.
 */
export async function joinDescription(
  views: Views,
  attachment: Attachment,
  { addresses, labels }: Description,
): Promise<void> {
  const asked = addresses !== undefined || labels !== undefined;
  if (!asked && attachment.place === null) return;
  const own = attachment.place === null ? [] : fittingAddresses(ownAddresses());
  const described = { addresses: addresses ?? own, labels: labels ?? {} };
  if (described.addresses.length === 0 && Object.keys(described.labels).length === 0) return;
  try {
    await views.describe(described);
  } catch (error) {
    if (asked || !isIvshmemError(error, 'ERR_IVSHMEM_REFUSED')) throw error;
  }
}
