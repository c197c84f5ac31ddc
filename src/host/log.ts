type Write = {
  (fields: object, message: string): void;
  (message: string): void;
};

/** What the server needs of a logger; pino's are one. */
export interface Log {
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  readonly error: Write;
  child(fields: Record<string, unknown>): Log;
}

const ignore = (): void => {};

export const silentLog: Log = {
  debug: ignore,
  info: ignore,
  warn: ignore,
  error: ignore,
  child: () => silentLog,
};
