/**
 * The writer of test/membership/view-reader.ts, in a process of its own: maps the membership part behind descriptor 3 and changes
 * it without a pause until its parent is gone. View v is of slot 1 + v mod (slots - 1), and its generation is v.
 */
import { KIND_UPDATE, placeAt, STATE_ACTIVE } from '../../src/memory/membership.ts';
import { binding } from '../../src/native/binding.ts';
import { ViewWriter } from './view-writer.ts';

const [bytes, slots] = process.argv.slice(2).map(Number) as [number, number];
const words = new Int32Array(binding.mapFile(3, 0, bytes, true).buffer);
const writer = new ViewWriter(words, placeAt(0, slots));
const parent = process.ppid;
process.stdout.write('ready\n');
while (process.ppid === parent) {
  for (let i = 0; i < 1000; i++) {
    const view = writer.view + 1;
    const items = [{ type: 'label', text: `n=${'x'.repeat(view % 200)}` }] as const;
    const state = STATE_ACTIVE;
    writer.publish(1 + (view % (slots - 1)), KIND_UPDATE, { state, name: 'busy', generation: view, items });
  }
}
