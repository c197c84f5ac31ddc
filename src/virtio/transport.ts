import { setImmediate as turn } from 'node:timers/promises';
import { IvshmemError } from '../errors/index.ts';
import type { VfioDevice } from '../vfio/device.ts';
import { readVirtioCapabilities, type VirtioCapabilities } from './capabilities.ts';
import { type Features, featuresOfWords, featureWord, negotiate } from './features.ts';
import {
  COMMON,
  PCI_SUBSYSTEM_ID,
  STATUS_ACKNOWLEDGE,
  STATUS_DEVICE_NEEDS_RESET,
  STATUS_DRIVER,
  STATUS_DRIVER_OK,
  STATUS_FEATURES_OK,
  VIRTIO_MSI_NO_VECTOR,
  VIRTIO_PCI_DEVICE_BASE,
  VIRTIO_VENDOR_ID,
} from './layout.ts';
import { Registers } from './registers.ts';

const RESET_DEADLINE_MS = 5000;
/** A configuration that changes under every one of this many reads is not one. */
const CONFIG_READS = 100;

/** Where a queue's three areas lie for the device. */
export interface QueueAddresses {
  readonly size: number;
  readonly descriptors: number;
  readonly driverEvent: number;
  readonly deviceEvent: number;
}

/** The modern virtio-pci transport (VIRTIO 1.3 §4.1): status, features, queues, notifications. Nothing about what the device does. */
export class VirtioPciTransport {
  readonly on: string;
  readonly #common: Registers;
  readonly #notify: Registers;
  readonly #device: Registers | undefined;
  readonly #multiplier: number;
  readonly #notifyOffsets: number[] = [];

  private constructor(device: VfioDevice, capabilities: VirtioCapabilities) {
    this.on = device.name;
    this.#common = new Registers(device, capabilities.common);
    this.#notify = new Registers(device, capabilities.notify);
    this.#device = capabilities.device === undefined ? undefined : new Registers(device, capabilities.device);
    this.#multiplier = capabilities.notify.multiplier;
  }

  /** Finds the device's structures and checks that it is of type `virtioId` (§5). Touches no state of the device but Command. */
  static open(device: VfioDevice, virtioId: number): VirtioPciTransport {
    const refuse = (why: string): never => {
      throw new IvshmemError('ERR_IVSHMEM_VIRTIO_DEVICE', { on: device.name, why });
    };
    const config = device.config();
    const { vendorId, deviceId } = config;
    // §4.1.2: transitional devices have IDs of their own below the base and say their type as the subsystem ID.
    const type =
      deviceId >= VIRTIO_PCI_DEVICE_BASE
        ? deviceId - VIRTIO_PCI_DEVICE_BASE
        : config.bytes.readUInt16LE(PCI_SUBSYSTEM_ID);
    if (vendorId !== VIRTIO_VENDOR_ID || type !== virtioId)
      refuse(
        `its ID is ${vendorId.toString(16)}:${deviceId.toString(16)}, not virtio device type ${virtioId}`,
      );
    const capabilities = readVirtioCapabilities(config, (bar) => device.region(bar).sizeBytes, device.name);
    device.enableMemorySpace();
    device.enableBusMaster();
    return new VirtioPciTransport(device, capabilities);
  }

  get status(): number {
    return this.#common.read8(COMMON.deviceStatus);
  }

  /** The device gave up and wants a reset (§2.1.2). */
  get needsReset(): boolean {
    return (this.status & STATUS_DEVICE_NEEDS_RESET) !== 0;
  }

  get queueCount(): number {
    return this.#common.read16(COMMON.numQueues);
  }

  /** Adds a bit to the device status; bits are never taken back but by reset (§2.1.1). */
  addStatus(bit: number): void {
    this.#common.write8(COMMON.deviceStatus, this.status | bit);
  }

  /** Writes 0 and waits until the device says 0 (§4.1.4.3.2). ERR_IVSHMEM_VIRTIO_BROKEN after five seconds. */
  async reset(): Promise<void> {
    this.stop();
    const deadline = performance.now() + RESET_DEADLINE_MS;
    while (this.status !== 0) {
      if (performance.now() > deadline) throw this.#broken('it does not finish its reset');
      await turn();
    }
  }

  /** Starts a reset without waiting: the device touches neither ring nor buffers afterwards (§2.4). */
  stop(): void {
    this.#common.write8(COMMON.deviceStatus, 0);
  }

  /** §3.1.1 steps 1 to 6. `wanted`: optional feature bits. Returns what both sides agreed on. */
  async initialize(wanted: readonly number[]): Promise<Features> {
    await this.reset();
    this.addStatus(STATUS_ACKNOWLEDGE);
    this.addStatus(STATUS_DRIVER);
    const features = negotiate(this.#offered(), wanted, this.on);
    for (const select of [0, 1]) {
      this.#common.write32(COMMON.driverFeatureSelect, select);
      this.#common.write32(COMMON.driverFeature, featureWord(features, select));
    }
    this.addStatus(STATUS_FEATURES_OK);
    if ((this.status & STATUS_FEATURES_OK) === 0)
      throw new IvshmemError('ERR_IVSHMEM_VIRTIO_FEATURES', {
        on: this.on,
        why: 'the device refused the choice of features',
      });
    return features;
  }

  /** §3.1.1 step 8: the device may use its queues from now on. */
  start(): void {
    this.addStatus(STATUS_DRIVER_OK);
  }

  /** Largest size of a queue, 0 when the device does not have it. */
  maxQueueSize(index: number): number {
    this.#common.write16(COMMON.queueSelect, index);
    return this.#common.read16(COMMON.queueSize);
  }

  /** Tells the device where a queue is and which MSI-X vector it interrupts with, and enables it (§4.1.5.1.3). */
  enableQueue(index: number, addresses: QueueAddresses, vector: number): void {
    const common = this.#common;
    common.write16(COMMON.queueSelect, index);
    common.write16(COMMON.queueSize, addresses.size);
    common.write16(COMMON.queueMsixVector, vector);
    if (common.read16(COMMON.queueMsixVector) === VIRTIO_MSI_NO_VECTOR)
      throw this.#broken(`it cannot assign vector ${vector} to queue ${index}`);
    common.writeAddress(COMMON.queueDesc, addresses.descriptors);
    common.writeAddress(COMMON.queueDriver, addresses.driverEvent);
    common.writeAddress(COMMON.queueDevice, addresses.deviceEvent);
    const offset = common.read16(COMMON.queueNotifyOff) * this.#multiplier;
    if (offset + 2 > this.#notify.sizeBytes)
      throw this.#broken(`the notification address of queue ${index} lies outside its window`);
    this.#notifyOffsets[index] = offset;
    common.write16(COMMON.queueEnable, 1);
  }

  /** Assigns the vector of configuration changes. */
  setConfigVector(vector: number): void {
    this.#common.write16(COMMON.configMsixVector, vector);
    if (this.#common.read16(COMMON.configMsixVector) === VIRTIO_MSI_NO_VECTOR)
      throw this.#broken(`it cannot assign vector ${vector} to configuration changes`);
  }

  /** Available buffer notification (§4.1.5.2). The ring's stores are fenced by DriverQueue.publish. */
  notify(index: number): void {
    this.#notify.write16(this.#notifyOffsets[index]!, index);
  }

  /**
   * Reads the device configuration consistently (§2.5.1): `read` is run again whenever the device changed it meanwhile. Undefined when
   * the device has less than `bytes` of it.
   */
  readDeviceConfig<T>(bytes: number, read: (config: Registers) => T): T | undefined {
    if (this.#device === undefined || this.#device.sizeBytes < bytes) return undefined;
    for (let tries = 0; tries < CONFIG_READS; tries++) {
      const generation = this.#common.read8(COMMON.configGeneration);
      const value = read(this.#device);
      if (this.#common.read8(COMMON.configGeneration) === generation) return value;
    }
    throw this.#broken('its configuration never stands still');
  }

  #offered(): Features {
    return featuresOfWords(
      [0, 1].map((select) => {
        this.#common.write32(COMMON.deviceFeatureSelect, select);
        return this.#common.read32(COMMON.deviceFeature);
      }),
    );
  }

  #broken(why: string): IvshmemError {
    return new IvshmemError('ERR_IVSHMEM_VIRTIO_BROKEN', { on: this.on, why });
  }
}
