import type { Mapping } from '../native/binding.ts';

export type BackendKind = 'vfio' | 'uio' | 'host';

/**
 * How a BAR and an interrupt are reached. Three implementations: `vfio` (a guest, interrupts by MSI-X eventfds),
 * `uio` (a guest, polled, doorbells outward), `host` (a process that is a peer over the ivshmem server's socket).
 */
export interface Backend {
  readonly kind: BackendKind;
  /** What was opened: a PCI address or a socket path. For messages. */
  readonly on: string;
  /** IVPosition: this peer's ID (ivshmem spec, "IVPosition Register"). */
  readonly ivPosition: number;
  /** BAR2: the shared memory. */
  readonly memory: Mapping;
  /** One eventfd per MSI-X vector, signalled by an interrupt; empty when the backend has none (polled). */
  readonly interrupts: readonly number[];
  /** Writes the Doorbell register: (peer << 16) | vector. A missing peer is silently ignored, as the device does. */
  ring(peer: number, vector: number): void;
  /** Called once if the device goes away (VFIO request interrupt; server's socket closed does NOT count). Memory is revoked first. */
  onRemoved(callback: () => void): void;
  /** Releases everything; idempotent; detaches the memory before unmapping. */
  close(): void;
}
