/** Writes docs/errors.md from the catalogue; `--check` only compares. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Entry } from '../src/errors/define.ts';
import { catalogue } from '../src/errors/index.ts';

const PATH = new URL('../docs/errors.md', import.meta.url);

const head = `# Errors

Every fault this package raises is an \`IvshmemError\` with a stable \`code\`, a message that says what was attempted, why it failed and
what to do, and \`remedy\` and \`kind\` as fields; \`cause\` holds the kernel's own error where there is one. \`kind\` is \`usage\` (the
caller's input; the command line exits with 2) or \`failure\` (the world; it exits with 1).

What is expected to happen is a value, never an error: a full ring is \`null\` from \`reserve\` and \`false\` from \`send\`; a peer that
closed or died is \`false\` from \`write\`, \`null\` from \`next\` and \`channel.end\`.

This page is written by \`npx tsx scripts/errors-doc.ts\`; a test compares it with the catalogue in \`src/errors/\`.
\`{…}\` stands for the particulars.

| code | kind | cannot … | because | what to do |
|---|---|---|---|---|
`;

export function errorsDocument(): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
  const rows = Object.entries<Entry>(catalogue).map(
    ([code, { kind, attempted, why, remedy }]) =>
      `| \`${code}\` | ${kind} | ${cell(attempted)} | ${cell(why)} | ${cell(remedy)} |`,
  );
  return `${head}${rows.join('\n')}\n`;
}

if (process.argv[1]?.endsWith('errors-doc.ts')) {
  const document = errorsDocument();
  if (!process.argv.includes('--check')) writeFileSync(PATH, document);
  else if (readFileSync(PATH, 'utf8') !== document) {
    console.error('docs/errors.md differs from the catalogue: run `npx tsx scripts/errors-doc.ts`');
    process.exitCode = 1;
  }
}
