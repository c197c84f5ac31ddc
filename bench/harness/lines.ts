/** A line of the report. */
export const print = (line: string): void => void process.stdout.write(`${line}\n`);
/** A line of what is being done. */
export const progress = (line: string): void => void process.stderr.write(`${line}\n`);
