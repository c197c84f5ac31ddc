import t from 'tap';
import { targetOf } from '../../src/study/end/target.ts';

t.test('where to listen or connect', async (t) => {
  for (const [at, target] of [
    ['192.168.122.7:7450', { host: '192.168.122.7', port: 7450 }],
    ['web-1.example:7450', { host: 'web-1.example', port: 7450 }],
    ['fd77::2:7450', { host: 'fd77::2', port: 7450 }],
    ['[fd77::2]:7450', { host: 'fd77::2', port: 7450 }],
    [':::7450', { host: '::', port: 7450 }],
    ['/tmp/study/unix-3', { path: '/tmp/study/unix-3' }],
    ['/tmp/a:7450', { path: '/tmp/a:7450' }],
  ] as const)
    t.same(targetOf(at), target, at);
});
