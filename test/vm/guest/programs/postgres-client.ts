/** A client of a PostgreSQL server, with pg as its users write it: `postgres-client HOST`. Says what it found as one JSON line. */
import { createHash, randomBytes } from 'node:crypto';
import pg from 'pg';

const ROWS = 2000;
const SINGLE = 50;
const LARGE = 1 << 20;
const NOTIFIED = 20;

const [host] = process.argv.slice(2);
const options = { host: host!, user: 'app', database: 'postgres', connectionTimeoutMillis: 120_000 };
const client = new pg.Client(options);
await client.connect();

await client.query('CREATE TABLE item (id integer PRIMARY KEY, name text NOT NULL, body bytea)');
for (let id = 0; id < SINGLE; id++)
  await client.query('INSERT INTO item (id, name) VALUES ($1, $2)', [id, `item ${id}`]);

const ids = Array.from({ length: ROWS }, (_, index) => SINGLE + index);
const names = ids.map((id) => `item ${id} ${'x'.repeat(id % 500)}`);
await client.query('BEGIN');
const bulk = await client.query(
  'INSERT INTO item (id, name) SELECT * FROM unnest($1::integer[], $2::text[])',
  [ids, names],
);
await client.query('COMMIT');
const { rows } = await client.query('SELECT id, name FROM item WHERE id >= $1 ORDER BY id', [SINGLE]);
const same = rows.every(({ id, name }, index) => id === ids[index] && name === names[index]);

const large = randomBytes(LARGE);
await client.query('INSERT INTO item VALUES (-1, $1, $2)', ['large', large]);
const { rows: hashed } = await client.query(
  "SELECT encode(sha256(body), 'hex') AS sha256, body FROM item WHERE id = -1",
);

const listener = new pg.Client(options);
await listener.connect();
await listener.query('LISTEN news');
const heard: (string | undefined)[] = [];
const all = new Promise<void>((resolve) => {
  listener.on('notification', ({ payload }) => {
    if (heard.push(payload) === NOTIFIED) resolve();
  });
});
for (let i = 0; i < NOTIFIED; i++) await client.query("SELECT pg_notify('news', $1)", [`issue ${i}`]);
await all;

console.log(
  JSON.stringify({
    bulk: { inserted: bulk.rowCount, read: rows.length, same },
    large: {
      bytes: LARGE,
      hashedByServer: hashed[0].sha256 === createHash('sha256').update(large).digest('hex'),
      same: large.equals(hashed[0].body),
    },
    notified: { heard: heard.length, inOrder: heard.every((payload, i) => payload === `issue ${i}`) },
  }),
);
await Promise.all([client.end(), listener.end()]);
