/** One catalogue row: what was attempted (a verb phrase), why it failed, what to do. `{name}` are parameters. */
export interface Entry {
  readonly attempted: string;
  readonly why: string;
  readonly remedy: string;
  /** `usage`: the caller's input is wrong (exit status 2). `failure`: the world is (exit status 1). */
  readonly kind: 'usage' | 'failure';
}

type Names<S extends string> = S extends `${string}{${infer N}}${infer R}` ? N | Names<R> : never;

/** The parameters a catalogue row asks for, read off its templates. */
export type Parameters<E extends Entry> = {
  readonly [N in Names<E['attempted']> | Names<E['why']> | Names<E['remedy']>]: string | number;
};

/** Replaces every `{name}` in a template by its parameter. */
export function fill(template: string, parameters: Readonly<Record<string, string | number>>): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => String(parameters[name] ?? `{${name}}`));
}
