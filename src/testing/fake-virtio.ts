import {
  CAP,
  COMMON,
  FEATURE,
  STATUS_DEVICE_NEEDS_RESET,
  STATUS_DRIVER_OK,
  STATUS_FEATURES_OK,
  VIRTIO_MSI_NO_VECTOR,
  VIRTIO_PCI_CAP_COMMON_CFG,
  VIRTIO_PCI_CAP_DEVICE_CFG,
  VIRTIO_PCI_CAP_ISR_CFG,
  VIRTIO_PCI_CAP_NOTIFY_CFG,
  VIRTIO_PCI_DEVICE_BASE,
  VIRTIO_VENDOR_ID,
} from '../virtio/layout.ts';
import { DescriptorChain } from '../virtqueue/chain.ts';
import { DeviceQueue } from '../virtqueue/device-queue.ts';
import { FakePciDevice } from './fake-pci-device.ts';

const BAR = 4;
const AT = { common: 0, isr: 0x40, device: 0x80, notify: 0x100 } as const;
const BAR_BYTES = 0x200;
const NOTIFY_MULTIPLIER = 4;
const PCI_CAP_ID_VNDR = 9;

export interface FakeVirtioOptions {
  readonly address: string;
  readonly group: number;
  /** Virtio device type. */
  readonly id: number;
  /** Feature bits offered besides VERSION_1, RING_PACKED and ACCESS_PLATFORM. */
  readonly features?: readonly number[];
  readonly deviceConfig?: Buffer;
  readonly queueSize?: number;
  readonly vectors?: number;
  /** The memory that addresses speak about: FakeVfio's. */
  readonly memory: () => ArrayBuffer;
  /** Serves one buffer and returns how many bytes it wrote. */
  readonly serve: (chain: DescriptorChain, memory: ArrayBuffer) => number;
}

/** The device side of a modern virtio-pci device with one packed queue, and ways for it to misbehave. */
export class FakeVirtio {
  readonly pci: FakePciDevice;
  /** Takes nothing from its queue while true. */
  paused = false;
  /** Ways to be a bad device. */
  stuckInReset = false;
  refusesFeatures = false;
  refusesVectors = false;
  restlessConfig = false;
  queueNotifyOff = 0;
  /** What the driver set up. */
  readonly offered: Set<number>;
  status = 0;
  accepted: [number, number] = [0, 0];
  notifications = 0;
  /** What was wrong with the driver, as the device sees it. */
  fault: unknown;
  readonly #options: FakeVirtioOptions;
  readonly #registers = new Map<number, number>();
  readonly #chain: DescriptorChain;
  #queue: DeviceQueue | undefined;
  #generation = 0;

  constructor(options: FakeVirtioOptions) {
    this.#options = options;
    const size = options.queueSize ?? 16;
    this.#chain = new DescriptorChain(2 * size);
    this.offered = new Set([
      FEATURE.VIRTIO_F_VERSION_1,
      FEATURE.VIRTIO_F_RING_PACKED,
      FEATURE.VIRTIO_F_ACCESS_PLATFORM,
      ...(options.features ?? []),
    ]);
    const registers = {
      sizeBytes: BAR_BYTES,
      read: (offset: number, width: number) => this.#read(offset, width),
      write: (offset: number, _width: number, value: number) => this.#write(offset, value),
    };
    this.pci = new FakePciDevice({
      address: options.address,
      group: options.group,
      vendorId: VIRTIO_VENDOR_ID,
      deviceId: VIRTIO_PCI_DEVICE_BASE + options.id,
      bars: [undefined, undefined, undefined, undefined, registers],
      vectors: options.vectors ?? 2,
      capabilities: this.#capabilities(),
    });
    this.#reset();
  }

  /** Whether a feature bit was accepted by the driver. */
  has(bit: number): boolean {
    return ((this.accepted[bit >>> 5]! >>> (bit & 31)) & 1) === 1;
  }

  /** Serves whatever is available and interrupts once. A driver that breaks the ring's rules gets NEEDS_RESET, as from QEMU. */
  run(): void {
    const queue = this.#queue;
    if (queue === undefined || this.paused || (this.status & STATUS_DRIVER_OK) === 0) return;
    try {
      this.#serve(queue);
    } catch (error) {
      this.fault = error;
      this.announce(STATUS_DEVICE_NEEDS_RESET);
    }
  }

  #serve(queue: DeviceQueue): void {
    const memory = this.#options.memory();
    do {
      queue.disableNotifications();
      while (queue.take(this.#chain)) {
        const { id, tag, descriptors } = this.#chain;
        queue.addUsed(id, tag, descriptors, this.#options.serve(this.#chain, memory));
      }
      queue.flushUsed();
    } while (queue.enableNotifications());
    if (queue.needsNotification()) this.pci.interrupt(undefined, this.#registers.get(COMMON.queueMsixVector));
  }

  /** Sets a status bit by itself and tells the driver through the configuration vector. */
  announce(statusBit: number): void {
    this.status |= statusBit;
    this.pci.interrupt(undefined, this.#registers.get(COMMON.configMsixVector));
  }

  #reset(): void {
    this.status = 0;
    this.#queue = undefined;
    this.#registers.clear();
    this.#registers.set(COMMON.numQueues, 1);
    this.#registers.set(COMMON.queueSize, this.#options.queueSize ?? 16);
  }

  #read(offset: number, width: number): number {
    if (offset >= AT.device && offset < AT.notify) {
      const config = this.#options.deviceConfig ?? Buffer.alloc(0);
      return width === 8 ? 0 : config.readUIntLE(offset - AT.device, width);
    }
    const register = offset - AT.common;
    if (register === COMMON.deviceStatus) return this.stuckInReset ? 1 : this.status;
    if (register === COMMON.configGeneration)
      return this.restlessConfig ? ++this.#generation & 0xff : this.#generation;
    if (register === COMMON.queueNotifyOff) return this.queueNotifyOff;
    if (register === COMMON.deviceFeature) return this.#featureWord();
    return this.#registers.get(register) ?? 0;
  }

  #featureWord(): number {
    const select = this.#registers.get(COMMON.deviceFeatureSelect) ?? 0;
    let word = 0;
    for (const bit of this.offered) if (bit >>> 5 === select) word |= 1 << (bit & 31);
    return word >>> 0;
  }

  #write(offset: number, value: number): void {
    if (offset >= AT.notify) {
      this.notifications++;
      this.run();
      return;
    }
    const register = offset - AT.common;
    const vector = register === COMMON.queueMsixVector || register === COMMON.configMsixVector;
    this.#registers.set(register, vector && this.refusesVectors ? VIRTIO_MSI_NO_VECTOR : value);
    if (register === COMMON.deviceStatus) this.#setStatus(value);
    else if (register === COMMON.driverFeature)
      this.accepted[this.#registers.get(COMMON.driverFeatureSelect) ?? 0] = value;
    else if (register === COMMON.queueEnable) this.#enable();
  }

  #setStatus(value: number): void {
    if (value === 0) this.#reset();
    else this.status = this.refusesFeatures ? value & ~STATUS_FEATURES_OK : value;
  }

  #enable(): void {
    const address = (register: number): number =>
      (this.#registers.get(register) ?? 0) + (this.#registers.get(register + 4) ?? 0) * 2 ** 32;
    const memory = this.#options.memory();
    this.#queue = new DeviceQueue({
      memory,
      size: this.#registers.get(COMMON.queueSize)!,
      ring: address(COMMON.queueDesc),
      driverEvent: address(COMMON.queueDriver),
      deviceEvent: address(COMMON.queueDevice),
      bounds: { start: 0, end: memory.byteLength },
      inOrder: this.has(FEATURE.VIRTIO_F_IN_ORDER),
    });
  }

  #capabilities(): number[][] {
    const capability = (type: number, offset: number, bytes: number): Buffer => {
      const notify = type === VIRTIO_PCI_CAP_NOTIFY_CFG;
      const body = Buffer.alloc(notify ? CAP.bytes + 4 : CAP.bytes);
      body[CAP.length] = body.length;
      body[CAP.type] = type;
      body[CAP.bar] = BAR;
      body.writeUInt32LE(offset, CAP.offset);
      body.writeUInt32LE(bytes, CAP.sizeBytes);
      if (notify) body.writeUInt32LE(NOTIFY_MULTIPLIER, CAP.notifyMultiplier);
      return body;
    };
    const all = [
      capability(VIRTIO_PCI_CAP_COMMON_CFG, AT.common, COMMON.bytes),
      capability(VIRTIO_PCI_CAP_ISR_CFG, AT.isr, 1),
      capability(VIRTIO_PCI_CAP_NOTIFY_CFG, AT.notify, BAR_BYTES - AT.notify),
    ];
    const { deviceConfig } = this.#options;
    if (deviceConfig !== undefined)
      all.push(capability(VIRTIO_PCI_CAP_DEVICE_CFG, AT.device, deviceConfig.length));
    // FakePciDevice writes the ID and the link to the next one.
    return all.map((body) => [PCI_CAP_ID_VNDR, ...body.subarray(CAP.length)]);
  }
}
