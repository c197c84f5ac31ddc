/** What a terminal must not be told by others: controls, and marks that turn the direction of what follows. */
const HARMFUL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
/** Characters that take two cells. */
const WIDE =
  /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{20000}-\u{3fffd}]/u;
const graphemes = new Intl.Segmenter();

/** A text that somebody else chose, fit to be printed. */
export function plain(text: string): string {
  return text.replace(HARMFUL, '\ufffd');
}

/** Cells of a terminal that a text takes. */
export function cells(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is what one cell each takes.
  if (/^[\x00-\x7f]*$/.test(text)) return text.length;
  let sum = 0;
  for (const { segment } of graphemes.segment(text)) sum += WIDE.test(segment) ? 2 : 1;
  return sum;
}

/** Exactly `width` cells: filled with spaces, or cut with an ellipsis. */
export function fit(text: string, width: number, align: 'left' | 'right' = 'left'): string {
  const taken = cells(text);
  if (taken <= width) {
    const space = ' '.repeat(width - taken);
    return align === 'left' ? text + space : space + text;
  }
  if (width <= 0) return '';
  let cut = '';
  let sum = 0;
  for (const { segment } of graphemes.segment(text)) {
    const more = cells(segment);
    if (sum + more > width - 1) break;
    cut += segment;
    sum += more;
  }
  return `${cut}…${' '.repeat(width - 1 - sum)}`;
}

/** Rows under headings, each column as wide as it must be. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = headings.map((heading, column) =>
    Math.max(cells(heading), ...rows.map((row) => cells(row[column] ?? ''))),
  );
  return [headings, ...rows].map((row) =>
    row
      .map((text, column) => fit(text, widths[column]!))
      .join('  ')
      .trimEnd(),
  );
}
