import { IvshmemError } from '../errors/index.ts';
import { FEATURE } from './layout.ts';

/** Feature bits by number (VIRTIO 1.3 §2.2). */
export type Features = ReadonlySet<number>;

/** Without these there is no driving: a modern device, our ring, and addresses that go through the IOMMU. */
const REQUIRED: Readonly<Record<string, number>> = {
  VIRTIO_F_VERSION_1: FEATURE.VIRTIO_F_VERSION_1,
  VIRTIO_F_RING_PACKED: FEATURE.VIRTIO_F_RING_PACKED,
  // A device that does not offer it takes our I/O virtual addresses for physical ones, and writes over whatever is there (§6.1).
  VIRTIO_F_ACCESS_PLATFORM: FEATURE.VIRTIO_F_ACCESS_PLATFORM,
};

/** What the driver accepts: everything required, and what it wants of the rest. ERR_IVSHMEM_VIRTIO_FEATURES if that cannot be. */
export function negotiate(offered: Features, wanted: readonly number[], on: string): Features {
  const missing = Object.keys(REQUIRED).filter((name) => !offered.has(REQUIRED[name]!));
  if (missing.length > 0)
    throw new IvshmemError('ERR_IVSHMEM_VIRTIO_FEATURES', {
      on,
      why: `the device does not offer ${missing.join(', ')}`,
    });
  return new Set([...Object.values(REQUIRED), ...wanted.filter((bit) => offered.has(bit))]);
}

/** The 32 bits of a feature window (§4.1.4.3: select 0 for bits 0 to 31, 1 for bits 32 to 63). */
export function featureWord(features: Features, select: number): number {
  let word = 0;
  for (const bit of features) if (bit >>> 5 === select) word |= 1 << (bit & 31);
  return word >>> 0;
}

export function featuresOfWords(words: readonly number[]): Features {
  const features = new Set<number>();
  for (const [select, word] of words.entries())
    for (let bit = 0; bit < 32; bit++) if ((word >>> bit) & 1) features.add(select * 32 + bit);
  return features;
}
