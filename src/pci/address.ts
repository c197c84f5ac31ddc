const pattern = /^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])$/i;

/** Where a PCI function sits: domain:bus:device.function, as sysfs and VFIO spell it ("0000:00:05.0"). */
export class PciAddress {
  readonly domain: number;
  readonly bus: number;
  readonly device: number;
  readonly function: number;

  constructor(domain: number, bus: number, device: number, fn: number) {
    this.domain = domain;
    this.bus = bus;
    this.device = device;
    this.function = fn;
  }

  /** Reads "0000:00:05.0" or, as lspci prints it, "00:05.0" (domain 0). Undefined when the text is no PCI address. */
  static parse(text: string): PciAddress | undefined {
    const match = pattern.exec(text);
    if (match === null) return undefined;
    const [, domain = '0', bus, device, fn] = match;
    return new PciAddress(
      Number.parseInt(domain, 16),
      Number.parseInt(bus!, 16),
      Number.parseInt(device!, 16),
      Number(fn),
    );
  }

  /** The form sysfs uses for its directory names, which is also what VFIO_GROUP_GET_DEVICE_FD takes. */
  toString(): string {
    const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');
    return `${hex(this.domain, 4)}:${hex(this.bus, 2)}:${hex(this.device, 2)}.${this.function}`;
  }

  equals(other: PciAddress): boolean {
    return this.toString() === other.toString();
  }
}
