/** Where results go; tests put something else here, because their own report is on stdout. */
export const output = {
  write(text: string): void {
    process.stdout.write(text);
  },
};

/** Prints a value for programs: one JSON document, indented. */
export function printJson(value: unknown): void {
  output.write(`${JSON.stringify(value, undefined, 2)}\n`);
}

export function printLine(text = ''): void {
  output.write(`${text}\n`);
}

/** 4194304 as "4 MiB". */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`;
}
