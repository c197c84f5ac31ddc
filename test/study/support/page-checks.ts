/**
 * Questions to a page, as programs for it to run (the browser's names are not those of Node, and no script is in the page).
 * Each gives a list of what is wrong.
 */

const helpers = `
  const parsed = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => {
    const of = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    return 0.2126 * of(r) + 0.7152 * of(g) + 0.0722 * of(b);
  };
  const contrast = (a, b) => {
    const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const ground = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const colour = parsed(getComputedStyle(at).backgroundColor);
      if (colour.length === 3) return colour;
    }
    return [255, 255, 255];
  };
`;

/** Text below 4.5:1 and marks of plots below 3:1 (WCAG 2, 1.4.3 and 1.4.11). */
export const badContrast = `(() => { ${helpers}
  const bad = [];
  for (const element of document.querySelectorAll('body *')) {
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== '')) continue;
    if (element.closest('title') !== null) continue;
    const style = getComputedStyle(element);
    const inPlot = element.closest('svg') !== null;
    const ratio = contrast(parsed(inPlot ? style.fill : style.color), ground(element));
    if (!(ratio >= 4.5)) bad.push(element.tagName + ' ' + element.textContent.slice(0, 40) + ': ' + ratio);
  }
  for (const mark of document.querySelectorAll('svg [aria-label=line], svg [aria-label=dot], svg [aria-label=bar], svg [aria-label=rule]')) {
    const { fill, stroke } = getComputedStyle(mark);
    const ratios = [fill, stroke].filter((each) => each !== 'none').map((each) => contrast(parsed(each), ground(mark)));
    if (!(Math.max(...ratios) >= 3)) bad.push(mark.getAttribute('aria-label') + ' ' + fill + ' ' + stroke + ': ' + ratios);
  }
  return bad;
})()`;

/** Plots without marks, without a name, without ticks, or with text outside of the frame. */
export const emptyPlots = `(() => {
  const bad = [];
  for (const figure of document.querySelectorAll('figure')) {
    const name = figure.querySelector('figcaption').textContent;
    const svg = figure.querySelector('svg');
    const marks = [...svg.querySelectorAll('[aria-label=dot] > *, [aria-label=line] > *, [aria-label=bar] > *')];
    if (marks.length === 0) bad.push(name + ': empty');
    if (svg.getAttribute('aria-label') !== name) bad.push(name + ': has no name');
    const box = svg.getBoundingClientRect();
    if (!(box.width > 200 && box.height > 40)) bad.push(name + ': ' + box.width + ' x ' + box.height);
    const texts = [...svg.querySelectorAll('text')].filter((each) => each.textContent !== '');
    if (texts.length < 2) bad.push(name + ': no ticks');
    for (const text of texts) {
      const { left, right } = text.getBoundingClientRect();
      if (left < box.left - 8 || right > box.right + 8) bad.push(name + ': ' + text.textContent + ' is cut off');
      if (parseFloat(getComputedStyle(text).fontSize) * (box.width / svg.viewBox.baseVal.width) < 9)
        bad.push(name + ': ' + text.textContent + ' is too small');
    }
    for (const mark of marks) {
      if (/NaN/.test(mark.outerHTML)) bad.push(name + ': NaN');
      const { left, right } = mark.getBoundingClientRect();
      if (left < box.left - 8 || right > box.right + 8) bad.push(name + ': a mark is outside');
    }
  }
  return bad;
})()`;
