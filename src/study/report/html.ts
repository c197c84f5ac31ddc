/** Text that is HTML already: what `html` does not escape again. */
export interface Html {
  readonly html: string;
}

type Part = string | number | Html | null | readonly Part[];

/** HTML with the values in it escaped: names and reasons of a study may be anything. */
export function html(texts: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return { html: texts.map((text, index) => text + rendered(parts[index] ?? null)).join('') };
}

/** Text that is known to be HTML. */
export const raw = (text: string): Html => ({ html: text });

function rendered(part: Part): string {
  if (part === null) return '';
  if (typeof part === 'string' || typeof part === 'number') return escaped(String(part));
  return isList(part) ? part.map(rendered).join('') : part.html;
}

const isList = (part: Html | readonly Part[]): part is readonly Part[] => Array.isArray(part);

const replacements: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => replacements[character]!);
}
