import t from 'tap';
import { Acceptor, type Durable, NEW_HOST } from '../../../src/host/hosts/acceptor.ts';
import type { Decided } from '../../../src/host/hosts/directory.ts';

const LEASE = 1000;

const decided = (version: number, ...seats: [node: number, incarnation: number][]): Decided => ({
  version,
  view: { epoch: version, seats: seats.map(([node, incarnation]) => ({ node, incarnation })) },
  spaces: [],
  nextSpace: 1,
});

function open(durable: Durable = NEW_HOST, now = 0): { acceptor: Acceptor; saved: () => Durable } {
  let last = durable;
  const acceptor = new Acceptor(durable, LEASE, now, (kept) => {
    last = kept;
  });
  return { acceptor, saved: () => last };
}

t.test('a promise holds for every lower ballot, and is saved before it is given', (t) => {
  const { acceptor, saved } = open();
  t.equal(acceptor.prepare(10), true);
  t.equal(saved().promised, 10);
  t.equal(acceptor.prepare(10), false);
  t.equal(acceptor.prepare(9), false);
  t.equal(acceptor.accept(9, decided(1), 0), 'ballot');
  t.equal(saved().accepted, 0);
  t.equal(acceptor.accept(10, decided(1), 0), 'accepted');
  t.match(saved(), { promised: 10, accepted: 10, value: { version: 1 } });
  t.equal(acceptor.accept(12, decided(2), 0), 'accepted', 'also one it was never asked about');
  t.equal(acceptor.prepare(11), false);
  t.end();
});

t.test('who has a lease is not voted out, and who is to be voted out gets no other', (t) => {
  const { acceptor } = open();
  acceptor.accept(1, decided(1, [0, 1], [1, 1]), 0);
  t.equal(acceptor.grant({ node: 1, incarnation: 1 }, 500), true);
  t.equal(acceptor.grant({ node: 1, incarnation: 2 }, 500), false, 'it sits there as another');
  t.equal(acceptor.grant({ node: 2, incarnation: 1 }, 500), false, 'it does not sit there');
  t.equal(acceptor.accept(2, decided(2, [0, 1]), 1550), 'lease');
  t.equal(acceptor.grant({ node: 1, incarnation: 1 }, 1560), false);
  t.equal(acceptor.accept(3, decided(2, [0, 1]), 1599), 'lease', 'longer than it lasts for its holder');
  t.equal(acceptor.accept(4, decided(2, [0, 1]), 1601), 'accepted');
  t.end();
});

t.test('who was to be voted out stays when the host that wanted it does not any more', (t) => {
  const { acceptor } = open();
  const seat = { node: 1, incarnation: 1 };
  acceptor.accept(1, decided(1, [0, 1], [1, 1]), 0);
  t.equal(acceptor.grant(seat, 10), true);
  t.equal(acceptor.accept(64 + 2, decided(2, [0, 1]), 20), 'lease');
  t.equal(acceptor.grant(seat, 30), false);
  t.equal(acceptor.accept(128 + 3, decided(2, [0, 1], [1, 1]), 40), 'accepted', 'of another host');
  t.equal(acceptor.grant(seat, 50), false);
  t.equal(acceptor.accept(192 + 2, decided(3, [0, 1], [1, 1]), 60), 'accepted');
  t.equal(acceptor.grant(seat, 70), true);
  t.end();
});

t.test('an incarnation that tells of itself has fenced the one before it', (t) => {
  const { acceptor } = open();
  acceptor.accept(1, decided(1, [0, 1], [1, 1]), 0);
  acceptor.grant({ node: 1, incarnation: 1 }, 0);
  t.equal(acceptor.accept(2, decided(2, [0, 1], [1, 2]), 10), 'lease', 'somebody else may say anything');
  acceptor.hear({ node: 1, incarnation: 2 });
  t.equal(acceptor.accept(3, decided(2, [0, 1], [1, 2]), 11), 'accepted');
  t.end();
});

t.test('a host that was off keeps to the leases it has forgotten', (t) => {
  const { acceptor, saved } = open();
  acceptor.accept(1, decided(1, [0, 1], [1, 1]), 0);
  acceptor.grant({ node: 1, incarnation: 1 }, 100);
  const again = open(saved(), 5000).acceptor;
  again.hear({ node: 0, incarnation: 2 });
  t.equal(again.accept(2, decided(2, [0, 2]), 5000 + LEASE), 'lease');
  t.equal(again.accept(3, decided(2, [0, 2]), 5000 + LEASE * 1.11), 'accepted');
  t.end();
});
