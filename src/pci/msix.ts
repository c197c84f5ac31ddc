import { type ConfigSpace, PCI_CAP_ID_MSIX } from './config-space.ts';

const LENGTH = 12;
const MESSAGE_CONTROL = 2;
const TABLE = 4;
const PBA = 8;
const TABLE_SIZE_MASK = 0x7ff;
const FUNCTION_MASK = 0x4000;
const ENABLE = 0x8000;
const BIR_MASK = 0x7;

/** The MSI-X capability (PCI 3.0 §6.8.2): how many vectors, and where table and pending bits lie. */
export interface Msix {
  /** Byte offset of the capability in the configuration space. */
  readonly offset: number;
  /** Vectors in the table, 1..2048. */
  readonly vectors: number;
  readonly enabled: boolean;
  readonly masked: boolean;
  readonly tableBar: number;
  /** Bytes into `tableBar`. */
  readonly tableOffset: number;
  readonly pbaBar: number;
  /** Bytes into `pbaBar`. */
  readonly pbaOffset: number;
}

/** Decodes the MSI-X capability; undefined when the function has none (ivshmem-plain) or it lies outside the bytes. */
export function readMsix(config: ConfigSpace): Msix | undefined {
  const capability = config.findCapability(PCI_CAP_ID_MSIX);
  if (capability === undefined || capability.offset + LENGTH > config.bytes.length) return undefined;
  const { offset } = capability;
  const control = config.bytes.readUInt16LE(offset + MESSAGE_CONTROL);
  const table = config.bytes.readUInt32LE(offset + TABLE);
  const pba = config.bytes.readUInt32LE(offset + PBA);
  return {
    offset,
    // Table Size is encoded as N-1 (PCI 3.0 §6.8.2.3).
    vectors: (control & TABLE_SIZE_MASK) + 1,
    enabled: (control & ENABLE) !== 0,
    masked: (control & FUNCTION_MASK) !== 0,
    tableBar: table & BIR_MASK,
    tableOffset: (table & ~BIR_MASK) >>> 0,
    pbaBar: pba & BIR_MASK,
    pbaOffset: (pba & ~BIR_MASK) >>> 0,
  };
}
