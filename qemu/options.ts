/** An ivshmem device. Without `id` the first is ivshmem0, the second ivshmem1, ... */
export type IvshmemDevice =
  /** A region of an ivshmem server. `server` is its socket; `vectors` is 2 unless given and must match the server's. */
  | { readonly kind: 'doorbell'; readonly server: string; readonly vectors?: number; readonly id?: string }
  /** Memory only: a file of `size` bytes, a power of two. */
  | { readonly kind: 'plain'; readonly memory: string; readonly size: number; readonly id?: string };

/** The guest's eth0. `address` with its prefix is set by the guest's init. */
export type Network =
  /** QEMU's own network stack, cut off from the outside. */
  | { readonly kind: 'user' }
  /** A tap device that exists already, in a network namespace that QEMU is started in (qemu/network.ts). */
  | {
      readonly kind: 'tap';
      readonly tap: string;
      readonly namespace: string;
      readonly mac: string;
      readonly address: string;
    }
  /** Datagrams between two QEMUs over two UNIX sockets: a cable between two VMs, for which no rights are needed. */
  | {
      readonly kind: 'pair';
      readonly local: string;
      readonly remote: string;
      readonly mac: string;
      readonly address: string;
    };

export interface VmOptions {
  readonly name: string;
  /** MiB of memory, 512 unless given. */
  readonly memory?: number;
  /** Virtual CPUs, 1 unless given. */
  readonly cpus?: number;
  readonly ivshmem?: readonly IvshmemDevice[];
  readonly network?: Network;
  /** The disk of programs (guest-image/programs.ts): redis-server, postgres, nginx, curl, iperf3. */
  readonly programs?: boolean;
  /** More `-device` values, such as `virtio-rng-pci,packed=on`. */
  readonly devices?: readonly string[];
  /** Empty PCI Express slots for hot-plug, named port0, port1, ... */
  readonly ports?: number;
  /** An IOMMU, which vfio-pci needs: true unless given. */
  readonly iommu?: boolean;
  /** More words for the guest kernel's command line. */
  readonly append?: string;
  /** More QEMU arguments, last. */
  readonly arguments?: readonly string[];
  /** Waits for a migration at this URI instead of booting. */
  readonly incoming?: string;
  /** What a guest's reboot does: ends QEMU (as it must when a panic should be seen), or reboots. */
  readonly onReboot?: 'exit' | 'reset';
}

/** What a command line needs besides: files that are there already. */
export interface Artifacts {
  readonly disk: string;
  readonly kernel: string;
  readonly initramfs: string;
  readonly payload: string;
  /** For VMs that ask for it. */
  readonly programs?: string;
  /** Directory for the console's log and the QMP and agent sockets. */
  readonly directory: string;
  readonly accelerator: Accelerator;
}

/** Values for QEMU's -accel and -cpu, and words for the guest kernel's command line that go with them. */
export interface Accelerator {
  readonly accel: string;
  readonly cpu: string;
  readonly append?: string;
}
