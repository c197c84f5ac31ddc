/** The flags every contestant understands, the native ones included (native/pair.h). */
export interface Options {
  readonly cpuA: number;
  readonly cpuB: number;
  /** Length of one sample, milliseconds. */
  readonly ms: number;
  readonly mode: string;
  /** Empty in the measuring process, 'partner' in the one it starts. */
  readonly role: string;
  /** What a partner is to connect to. */
  readonly address: string;
  readonly transport: string;
  readonly channels: number;
}

export function parseOptions(argv: readonly string[] = process.argv.slice(2)): Options {
  const flags = new Map<string, string>();
  for (let i = 0; i + 1 < argv.length; i += 2) flags.set(argv[i]!, argv[i + 1]!);
  const text = (name: string) => flags.get(`--${name}`) ?? '';
  return {
    cpuA: Number(text('cpu-a') || 0),
    cpuB: Number(text('cpu-b') || 1),
    ms: Number(text('ms') || 200),
    mode: text('mode'),
    role: text('role'),
    address: text('address'),
    transport: text('transport'),
    channels: Number(text('channels') || 1),
  };
}
