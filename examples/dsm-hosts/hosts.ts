import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'ivshmem/server';

// Terminal 1: two servers as on two hosts, a and b, which know each other by certificates, on two ports of this machine. On real hosts each is a
// process of its own with its own configuration (docs/hosts.md); this makes all of it in a temporary folder, until Ctrl-C.
const [socket = '/tmp/hosts', first = '7400'] = process.argv.slice(2);
const ports = { a: Number(first), b: Number(first) + 1 };
const folder = mkdtempSync(join(tmpdir(), 'ivshmem-hosts-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);

const openssl = (...words: string[]): void => void execFileSync('openssl', words, { stdio: 'pipe' });
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
openssl('req', '-x509', ...newKey, '-subj', '/CN=hosts', '-keyout', at('ca.key'), '-out', at('ca.pem'));

for (const [name, other] of [
  ['a', 'b'],
  ['b', 'a'],
] as const) {
  const file = (kind: string): string => at(`${name}.${kind}`);
  openssl('req', '-new', ...newKey, '-subj', `/CN=${name}`, '-keyout', file('key'), '-out', file('csr'));
  writeFileSync(file('ext'), `subjectAltName=DNS:${name}\n`);
  const signing = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-extfile', file('ext')];
  openssl('x509', '-req', '-in', file('csr'), ...signing, '-out', file('pem'));
  await createServer({
    regions: [{ name: 'demo', socket: `${socket}-${name}.sock`, size: '16M' }],
    hosts: {
      name,
      listen: `127.0.0.1:${ports[name]}`,
      peers: { [other]: `127.0.0.1:${ports[other]}` },
      state: file('json'),
      certificate: file('pem'),
      key: file('key'),
      authority: at('ca.pem'),
    },
  });
  console.log(`host ${name}: ${socket}-${name}.sock`);
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit());
