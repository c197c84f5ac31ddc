import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';

export type { Markish, PlotOptions } from '@observablehq/plot';
/**
 * The one file of the report that imports the plot library and the DOM it draws in: they are bundled into it, and who installs the
 * package installs neither (docs/decisions/study.md).
 */
export {
  axisX,
  axisY,
  barX,
  dot,
  gridX,
  gridY,
  lineY,
  link,
  rect,
  ruleX,
  ruleY,
  text,
} from '@observablehq/plot';

const { document } = parseHTML('<!doctype html><html><body></body></html>');

/** Draws a plot as one `<svg>` element that scales with the width it is given, named for those who do not see it. */
export function svg(name: string, options: Plot.PlotOptions): string {
  const drawn = Plot.plot({
    ...options,
    document: document as unknown as NonNullable<Plot.PlotOptions['document']>,
  });
  const element = drawn as unknown as {
    outerHTML: string;
    setAttribute(name: string, value: string): void;
    removeAttribute(name: string): void;
    querySelector(selector: string): { remove(): void } | null;
  };
  // Its own colours and fonts: the page has them, for light and dark.
  element.querySelector('style')?.remove();
  element.setAttribute('role', 'img');
  element.setAttribute('aria-label', name);
  element.removeAttribute('width');
  element.removeAttribute('height');
  return element.outerHTML;
}
