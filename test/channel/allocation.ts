import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';

// The hot path: no allocation and no native call per message. Counted in a process of its own, after warm-up, over a
// million messages: with not one garbage collection during the run, the growth of the used heap is everything that was
// allocated. Per message that is nothing; the bound of 1 byte leaves a megabyte for what the engine does by itself
// (memoryUsage's own result, code it optimises late). The smallest object V8 can make is 12 bytes, so one in twelve
// messages allocating anything at all would fail.

interface Count {
  readonly messages: number;
  readonly heapBytes: number;
  readonly arrayBufferBytes: number;
  readonly collections: number;
  readonly scavenges: number;
  readonly nativeCalls: number;
  readonly wrapped: number;
  readonly counted: number;
  readonly observed: number;
}

const program = fileURLToPath(new URL('../support/allocation-program.ts', import.meta.url));

async function count(how: 'words' | 'bytes' | 'copy'): Promise<Count> {
  // Coverage counters and test hooks would be counted too. Node hands NODE_V8_COVERAGE down unless it is set to nothing.
  const env = { ...process.env, NODE_V8_COVERAGE: '', NODE_OPTIONS: '' };
  const args = ['--expose-gc', '--import', 'tsx', program, how];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env, timeout: 100_000 });
  return JSON.parse(stdout) as Count;
}

for (const how of ['words', 'bytes'] as const) {
  t.test(`a million messages by \`${how}\` allocate nothing and call nothing native`, async (t) => {
    const counted = await count(how);
    t.comment(JSON.stringify(counted));
    t.equal(counted.messages, 1_000_000);
    t.equal(counted.collections, 0, 'no collection hides what was allocated');
    t.equal(counted.scavenges, 0);
    t.ok(counted.heapBytes < counted.messages, `${counted.heapBytes} bytes of heap`);
    t.equal(counted.arrayBufferBytes, 0);
    t.equal(counted.nativeCalls, 0);
    t.ok(counted.wrapped > 20, 'every native function was counted');
    t.equal(counted.counted, 2, 'and the counting works');
    t.ok(counted.observed > 0, 'collections are seen when there are any');
  });
}

t.test('the method notices a copy of each message', async (t) => {
  const counted = await count('copy');
  t.ok(counted.collections > 0 || counted.heapBytes > counted.messages, JSON.stringify(counted));
});
