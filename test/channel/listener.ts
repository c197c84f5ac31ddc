import t from 'tap';
import { Listener } from '../../src/channel/listener.ts';
import { channelPair } from '../support/channel-pair.ts';

function listener() {
  const state = { waiting: 0, unlistened: 0 };
  const made = new Listener(
    'echo',
    4,
    (change) => {
      state.waiting += change;
    },
    () => state.unlistened++,
  );
  return { listener: made, state };
}

t.test('channels are accepted in the order they came, before or after the call', async (t) => {
  const { listener: l, state } = listener();
  t.equal(state.waiting, 1, 'keeps the loop running');
  const channels = [channelPair().b, channelPair().b, channelPair().b];
  l.deliver(channels[0]!);
  const first = l.accept();
  const second = l.accept();
  l.deliver(channels[1]!);
  l.deliver(channels[2]!);
  t.equal(await first, channels[0]);
  t.equal(await second, channels[1]);
  t.equal(await l.accept(), channels[2]);
  l.close();
});

t.test('close: waiting accepts get null, the backlog is closed, accepted channels live on', async (t) => {
  const { listener: l, state } = listener();
  const accepted = channelPair().b;
  const left = channelPair();
  l.deliver(accepted);
  await l.accept();
  l.deliver(left.b);
  l.close();
  l.close();
  t.same(state, { waiting: 0, unlistened: 1 });
  t.equal(accepted.end, null);
  t.equal(left.b.end, 'closed-here');
  t.equal(left.hostB.released, 1, 'the server is told');
  t.equal(await l.accept(), null);
  const other = listener().listener;
  const pending = other.accept();
  other[Symbol.dispose]();
  t.equal(await pending, null);
});

t.test('iterates until closed', async (t) => {
  const { listener: l } = listener();
  const channels = [channelPair().b, channelPair().b];
  for (const channel of channels) l.deliver(channel);
  const seen: unknown[] = [];
  for await (const channel of l) {
    seen.push(channel);
    if (seen.length === 2) l.close();
  }
  t.same(seen.length, 2);
  t.ok(seen.every((channel, i) => channel === channels[i]));
});
