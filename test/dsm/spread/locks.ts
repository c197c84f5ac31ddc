/** What synchronizes members of several hosts: servers and members are processes, with real certificates, and are killed. */
import t from 'tap';
import { withoutOpenssl } from '../../host/hosts/support/certificates.ts';
import { until } from '../../support/protocol/until.ts';
import { LocksScene } from '../support/locks-scene.ts';

t.setTimeout(240_000);
const skip = withoutOpenssl() ?? false;
const SIZE = 64 << 10;

t.test(
  'members of three hosts, one that dies with what it holds, and a host that does',
  { skip },
  async (t) => {
    const scene = await LocksScene.start(t, 3, 15);
    const [a, b, c, d] = await Promise.all([0, 1, 1, 2].map((host) => scene.member(host)));
    await scene.open('work', SIZE, a!, b!, c!, d!);
    const both = [a!, b!];

    const ROUNDS = 100;
    t.same(await Promise.all(both.map((one, i) => one.do('count', i + 1, ROUNDS))), [0, 0]);
    t.equal(await c!.do('load', 0), 2 * ROUNDS, 'none was lost under the mutex');

    t.same(await Promise.all([...both, c!].map((one) => one.do('meet', 3, 20))), [true, true, true]);

    const reached = both.map((one) => one.do('reach', 30));
    await c!.do('add', 30);
    t.same(await Promise.all(reached), [30, 30], 'the counter');

    const ran = await Promise.all([...both, c!].map((one) => one.do('once')));
    t.equal(ran.filter((own) => own === true).length, 1);
    t.equal(await a!.do('ran'), 1, 'once');

    t.equal(await a!.do('permit'), true);
    const second = b!.do('permit');
    await a!.do('permits', 1);
    t.equal(await second, true, 'the semaphore');

    const woken = both.map((one) => one.do('wait'));
    await until('both to wait', () => both.every((one) => one.notes === 1));
    await c!.do('lock', 'guard');
    await c!.do('signal');
    await c!.do('unlock', 'guard');
    t.same(await Promise.all(woken), [true, true], 'the condition');

    await Promise.all([...both, c!].map((one) => one.do('heap', 20)));
    t.equal(await a!.do('heap', 2), 31, 'the heap');

    t.equal(await c!.do('lock', 'own'), false);
    t.equal(await c!.do('write', 'rw'), false);
    const next = both.map((one) => one.do('lock', 'own'));
    const readers = both.map((one) => one.do('read', 'rw'));
    await c!.kill();
    const first = await Promise.race(next.map((lock, i) => lock.then((abandoned) => ({ i, abandoned }))));
    t.equal(first.abandoned, true, 'the next owner is told');
    await both[first.i]!.do('unlock', 'own');
    t.equal(await next[1 - first.i], false, 'and the one after that is not');
    t.same(await Promise.all(readers), [true, true], 'of the rwlock all are');

    await both[first.i]!.do('lock', 'left');
    await both[first.i]!.do('close');
    t.equal(await both[1 - first.i]!.do('lock', 'left'), true, 'whoever closes the space leaves it behind');

    t.equal(await d!.do('lock', 'far'), false);
    const last = both[1 - first.i]!;
    // Who waits says so in the page, and so has it: it is not lost with the host.
    t.equal(await last.do('lock', 'far', 100), null);
    const far = last.do('lock', 'far');
    await Promise.all([scene.servers[2]!.kill(), d!.kill()]);
    t.equal(await far, true, 'what a host leaves behind is had by the others');
  },
);
