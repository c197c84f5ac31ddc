/**
 * What the host and the guest's agent say to each other over the virtio-serial port: one JSON object per line.
 * Bytes travel as base64, so that any output survives.
 */
export const agentPort = 'org.ivshmem.agent';

/** A program to start in the guest. */
export interface RunRequest {
  readonly op: 'run';
  readonly id: number;
  /** A program with its arguments, or one line for /bin/sh. */
  readonly command: readonly string[] | string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** A name in the guest's /etc/passwd; root without it. */
  readonly user?: string;
  /** Milliseconds after which the program and its children are killed; none without it. */
  readonly timeout?: number;
}

export type Request =
  | RunRequest
  | { readonly op: 'hello'; readonly id: number }
  /** Standard input of run `id`; `data` absent closes it. */
  | { readonly op: 'input'; readonly id: number; readonly data?: string }
  /** A signal for the process group of run `id`. */
  | { readonly op: 'signal'; readonly id: number; readonly signal: NodeJS.Signals }
  | {
      readonly op: 'put';
      readonly id: number;
      readonly path: string;
      readonly data: string;
      readonly mode: number;
    };

export interface Exit {
  /** Exit status; null when a signal ended the program. */
  readonly status: number | null;
  readonly signal: string | null;
  readonly timedOut: boolean;
}

export type Reply = { readonly id: number } & (
  | { readonly stdout: string }
  | { readonly stderr: string }
  | { readonly exit: Exit }
  | { readonly done: true }
  | { readonly error: string }
);

/** Cuts a byte stream into lines. `readline` would also cut at U+2028, which JSON leaves as it is. */
export function lineSplitter(onLine: (line: string) => void): (chunk: Buffer) => void {
  let parts: Buffer[] = [];
  return (chunk) => {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      const line = Buffer.concat([...parts, chunk.subarray(from, end)]).toString('utf8');
      parts = [];
      from = end + 1;
      if (line.trim() !== '') onLine(line);
    }
    if (from < chunk.length) parts.push(chunk.subarray(from));
  };
}
