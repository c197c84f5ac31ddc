import type { PciFunction } from '../../pci/sysfs.ts';
import type { System } from '../system.ts';

export type Level = 'ok' | 'warning' | 'failed';

/** What one check found. Everything but `ok` ends with what to do about it. */
export type Finding =
  | { readonly name: string; readonly level: 'ok'; readonly found: string }
  | {
      readonly name: string;
      readonly level: 'warning' | 'failed';
      readonly found: string;
      readonly fix: string;
    };

export interface HostContext {
  readonly system: System;
  /** The QEMU program asked about. */
  readonly qemu: string;
  /** The server's socket; undefined when none was named. '@name' is an abstract socket. */
  readonly socket: string | undefined;
  readonly slots: number;
  readonly vectors: number;
}

export interface GuestContext {
  readonly system: System;
  readonly device: PciFunction;
  /** Measures BAR2; undefined means the live measurement. */
  readonly measure?: (device: PciFunction) => Promise<MemoryBandwidth[]>;
}

/** Bytes per microsecond, which is MB/s, of one way to reach BAR2. */
export interface MemoryBandwidth {
  /** 'private' is ordinary memory measured the same way, for comparison. */
  readonly mapping: 'private' | 'resource2' | 'resource2_wc' | 'vfio';
  readonly readMBps: number;
  readonly writeMBps: number;
}

export type HostCheck = (context: HostContext) => Finding | Promise<Finding>;
export type GuestCheck = (context: GuestContext) => Finding | Promise<Finding>;

export function ok(name: string, found: string): Finding {
  return { name, level: 'ok', found };
}

export function warning(name: string, found: string, fix: string): Finding {
  return { name, level: 'warning', found, fix };
}

export function failed(name: string, found: string, fix: string): Finding {
  return { name, level: 'failed', found, fix };
}
