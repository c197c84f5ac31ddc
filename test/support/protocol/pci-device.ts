import type { Qtest } from './qtest.ts';

const CONFIG_ADDRESS = 0xcf8;
const CONFIG_DATA = 0xcfc;
/** Below the 32-bit PCI hole's end on pc and q35, away from their own devices. One device per machine. */
const BAR0 = 0xe0000000;
const BAR1 = 0xe0001000;
const BAR2 = 0xe8000000;
/** Guest RAM to which MSI messages are directed: the "interrupt" is then a word that changes. */
const MESSAGES = 0x100000;
const IV_POSITION = 8;
const DOORBELL = 12;
const CAPABILITY_MSIX = 0x11;

/** An ivshmem-doorbell device driven through qtest, as a guest's driver would: BARs, MSI-X, registers. */
export class PciDevice {
  readonly #qtest: Qtest;
  readonly #slot: number;
  readonly #vectors: number;

  private constructor(qtest: Qtest, slot: number, vectors: number) {
    this.#qtest = qtest;
    this.#slot = slot;
    this.#vectors = vectors;
  }

  /** Places the BARs, enables MSI-X and points vector n at its own word of RAM. */
  static async enable(qtest: Qtest, slot: number, vectors: number): Promise<PciDevice> {
    const device = new PciDevice(qtest, slot, vectors);
    const id = await device.#readConfig(0);
    if (id !== 0x11101af4) throw new Error(`no ivshmem device in slot ${slot}: ${id.toString(16)}`);
    await device.#writeConfig(0x10, BAR0);
    await device.#writeConfig(0x14, BAR1);
    await device.#writeConfig(0x18, BAR2);
    await device.#writeConfig(0x1c, 0);
    // Command: MemorySpace and BusMaster.
    await device.#writeConfig(4, 6);
    for (let vector = 0; vector < vectors; vector++) {
      const entry = BAR1 + 16 * vector;
      await qtest.writel(MESSAGES + 4 * vector, 0);
      await qtest.writel(entry, MESSAGES + 4 * vector);
      await qtest.writel(entry + 4, 0);
      await qtest.writel(entry + 8, 0x1000 + vector);
      await qtest.writel(entry + 12, 0);
    }
    await device.#enableMsix();
    return device;
  }

  ivPosition(): Promise<number> {
    return this.#qtest.readl(BAR0 + IV_POSITION);
  }

  async ring(peer: number, vector: number): Promise<void> {
    await this.#qtest.writel(BAR0 + DOORBELL, (peer << 16) | vector);
  }

  /** A word of the shared memory. */
  memory(byteOffset: number): Promise<number> {
    return this.#qtest.readl(BAR2 + byteOffset);
  }

  /** Whether an interrupt came on the vector since the last call. */
  async takeInterrupt(vector: number): Promise<boolean> {
    if (vector >= this.#vectors) throw new RangeError(`vector ${vector}`);
    const at = MESSAGES + 4 * vector;
    if ((await this.#qtest.readl(at)) === 0) return false;
    await this.#qtest.writel(at, 0);
    return true;
  }

  async #enableMsix(): Promise<void> {
    let at = (await this.#readConfig(0x34)) & 0xfc;
    for (let hops = 0; hops < 48 && at !== 0; hops++) {
      const header = await this.#readConfig(at);
      if ((header & 0xff) === CAPABILITY_MSIX) return this.#writeConfig(at, header | 0x80000000);
      at = (header >>> 8) & 0xfc;
    }
    throw new Error('the device has no MSI-X capability');
  }

  async #readConfig(register: number): Promise<number> {
    await this.#qtest.outl(CONFIG_ADDRESS, 0x80000000 | (this.#slot << 11) | register);
    return this.#qtest.inl(CONFIG_DATA);
  }

  async #writeConfig(register: number, value: number): Promise<void> {
    await this.#qtest.outl(CONFIG_ADDRESS, 0x80000000 | (this.#slot << 11) | register);
    await this.#qtest.outl(CONFIG_DATA, value);
  }
}
