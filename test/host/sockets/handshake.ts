import t from 'tap';
import { REFUSALS } from '../../../src/backend/host-handshake.ts';
import {
  handshake,
  REFUSED_ADMISSION,
  REFUSED_FD_LIMIT,
  REFUSED_FULL,
} from '../../../src/host/sockets/handshake.ts';

t.test('version, ID, memory, the others in order, then the own vectors', async (t) => {
  const eventfds = [
    [100, 101],
    [110, 111],
    [120, 121],
  ];
  t.same(handshake(1, 9, eventfds), {
    values: [0, 1, -1, 0, 0, 2, 2, 1, 1],
    fds: [-1, -1, 9, 100, 101, 120, 121, 110, 111],
  });
});

t.test('the client of this package knows every refusal', async (t) => {
  t.same(Object.keys(REFUSALS).map(Number), [REFUSED_ADMISSION, REFUSED_FULL, REFUSED_FD_LIMIT]);
});
