/** What V8's profiler wrote becomes stacks, a table of self time, a part of the report and pictures for documents. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { picturesOf } from '../../scripts/study-doc-pictures.ts';
import { cellsOf } from '../../src/study/cells.ts';
import { parseProfile, readProfiles, selfTimes } from '../../src/study/profile.ts';
import { readStudy } from '../../src/study/read.ts';
import { profilePart } from '../../src/study/report/flame.ts';
import { aProfile, profiled } from './support/a-profile.ts';
import { madeUpStudy, writeStudy } from './support/sample-study.ts';

t.test('stacks and self times', (t) => {
  const root = parseProfile(JSON.stringify(aProfile))!;
  t.equal(root.total, 4000);
  t.match(root.children[0], { name: 'take', at: 'channel.mjs:12', self: 1000, total: 3000 });
  t.strictSame(
    selfTimes(root).map(({ name, self }) => [name, self]),
    [
      ['spin', 2000],
      ['take', 1000],
      ['emit', 1000],
    ],
  );
  t.end();
});

t.test('what is no profile is none', (t) => {
  t.equal(parseProfile('{'), null);
  t.equal(parseProfile('{"nodes": []}'), null);
  const [first, ...rest] = aProfile.nodes;
  const ring = { ...aProfile, nodes: [first, { ...rest[0], children: [1, 2] }] };
  t.equal(parseProfile(JSON.stringify(ring))!.children.length, 1, 'a stack that contains itself ends');
  t.end();
});

t.test('in the report and in documents', (t) => {
  const folder = profiled(writeStudy(t, madeUpStudy()));
  writeFileSync(join(folder, 'profiles', 'torn.measuring.cpuprofile'), '{"nodes"');
  const profiles = readProfiles(folder);
  t.strictSame(
    profiles.map(({ name }) => name),
    ['rtt-64-busy, measuring side'],
  );
  t.equal(profilePart([]), null);
  const { html } = profilePart(profiles)!.body;
  t.match(html, /spin \(channel\.mjs:12\): 2 ms, itself 2 ms/);
  t.notMatch(html, /somewhere|NaN/);

  const pictures = picturesOf(cellsOf(readStudy(folder)), profiles);
  const names = pictures.map(({ name }) => name);
  for (const name of ['vm-round-trip', 'round-trip', 'mix', 'detection', 'flame-rtt-64-busy'])
    t.ok(names.includes(name), name);
  for (const { svg, name } of pictures) {
    t.match(svg, /^<svg xmlns="[^"]+" viewBox="0 0 \d+ \d+"/, name);
    t.match(svg, /prefers-color-scheme: dark/);
    t.notMatch(svg, /NaN|undefined|href|<script/);
  }
  t.end();
});
