import { colours } from './palette.ts';

const variables = (list: readonly string[]): string =>
  list.map((colour, index) => `--series-${index}: ${colour};`).join(' ');

/** Colours of a page, by the names its plots use. */
export const light = `--ground: #ffffff; --panel: #f4f5f7; --ink: #1a1d21; --faint: #50565e; --line: #c9ced6;
  --good: #00694c; --bad: #a92b00; --warn: #7a5200; ${variables(colours.light)}`;
export const dark = `--ground: #14171a; --panel: #1f2429; --ink: #e8eaed; --faint: #aab2bc; --line: #454c55;
  --good: #4fd6ae; --bad: #ff9a75; --warn: #f2c14e; ${variables(colours.dark)}`;

/** The page's style, in it: nothing is fetched. Paper is white, whatever the screen. */
export const style = `
:root { color-scheme: light dark; ${light} }
@media (prefers-color-scheme: dark) { :root { ${dark} } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.25rem; margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
h1, h2, figcaption, summary { text-wrap: balance; }
a { color: var(--series-0); }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: 0; list-style: none; }
.faint { color: var(--faint); }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: 1rem; }
figure { margin: 0; padding: .75rem; background: var(--panel); border-radius: .5rem; min-width: 0; break-inside: avoid; }
figure > svg { display: block; width: 100%; height: auto; --ground: var(--panel); }
.flame { overflow-x: auto; max-width: 100%; } .flame > svg { display: block; min-width: 34rem; }
figcaption { font-weight: 600; font-size: .9rem; margin-bottom: .25rem; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem .9rem; margin: .4rem 0 0; padding: 0; list-style: none; font-size: .85rem; }
.legend svg { width: 30px; height: 14px; vertical-align: middle; margin-right: .3rem; }
.wide { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .85rem; margin: .5rem 0; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); }
td.number { text-align: right; white-space: nowrap; } th.number { text-align: right; }
details { margin: .75rem 0; } summary { cursor: pointer; font-weight: 600; }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; } .warn { color: var(--warn); font-weight: 600; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .15rem 1rem; font-size: .9rem; } dt { color: var(--faint); } dd { margin: 0; min-width: 0; }
@media (max-width: 40rem) {
  table.stack thead { display: none; } table.stack tr { display: block; border-bottom: 2px solid var(--line); padding: .4rem 0; }
  table.stack td { display: block; border: 0; padding: .05rem 0; text-align: left; white-space: normal; }
  table.stack td::before { content: attr(data-name) ": "; color: var(--faint); font-weight: 400; }
}
@media print {
  :root { color-scheme: light; ${light} }
  body { max-width: none; padding: 0; font-size: 10pt; } nav { display: none; }
  .plots { grid-template-columns: 1fr 1fr; } figure { border: 1px solid var(--line); background: none; }
  .wide { overflow: visible; } h2 { break-after: avoid; } tr { break-inside: avoid; }
}
`;
