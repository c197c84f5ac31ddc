/** What `make study` can be told. */
export interface StudyOptions {
  readonly quick: boolean;
  readonly folder?: string;
  readonly rounds?: number;
  readonly cpus: string;
  readonly seed: number;
  readonly maxOthers: number;
  /** These experiments only. */
  readonly only?: string;
  readonly vms: boolean;
  /** Flame graphs of some paths. */
  readonly profiles: boolean;
  /** Between processes of this host, or between VMs; both without it. */
  readonly where?: 'native' | 'vm';
  /** Seconds. */
  readonly budget?: number;
}
