import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { isIvshmemError } from '../../../src/errors/index.ts';
import { readIdentity } from '../../../src/host/hosts/identity.ts';
import { testFolder } from '../../support/test-folder.ts';
import { Authority, type Issued, withoutOpenssl } from './support/certificates.ts';

const why = withoutOpenssl();

t.test('what a host proves itself with is looked at before others do', { skip: why ?? false }, (t) => {
  const folder = testFolder(t);
  const authority = new Authority(folder);
  const other = new Authority(folder, 'other');
  const good = authority.issue('a');
  const refused = (files: Partial<Issued>, expected: RegExp, what: string, name = 'a'): void => {
    try {
      readIdentity({ ...good, ...files }, name);
      t.fail(what);
    } catch (error) {
      t.ok(isIvshmemError(error, 'ERR_IVSHMEM_HOSTS_IDENTITY'), what);
      t.match((error as Error).message, expected, what);
    }
  };
  t.match(readIdentity(good, 'a'), { certificate: /BEGIN CERTIFICATE/, key: /PRIVATE KEY/ });
  refused({}, /not for b but for DNS:a/, 'another name', 'b');
  refused(authority.issue('*.b.net', 2, 'wild'), /not for a\.b\.net but/, 'a wildcard', 'a.b.net');
  for (const usage of ['serverAuth', 'clientAuth', 'emailProtection'])
    refused(authority.issue('a', 2, usage, `extendedKeyUsage=${usage}\n`), /not for both/, usage);
  const both = authority.issue('a', 2, 'both', 'extendedKeyUsage=clientAuth,serverAuth\n');
  t.match(readIdentity(both, 'a'), { key: /PRIVATE KEY/ }, 'both usages');
  refused({ authority: other.path }, /issued by CN=authority/, 'another authority');
  refused({ key: authority.issue('c').key }, /key of another certificate/, 'another key');
  refused({ key: good.certificate }, /no private key in PEM/, 'no key');
  refused({ certificate: good.key }, /no certificate in PEM/, 'no certificate');
  refused({ certificate: join(folder, 'nothing') }, /ENOENT/, 'no file');
  const garbled = join(folder, 'garbled.pem');
  writeFileSync(garbled, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
  refused({ certificate: garbled }, /cannot be read/, 'not a certificate inside');
  t.throws(
    () => readIdentity(good, 'a', new Date(Date.now() + 3 * 86_400_000)),
    /it was valid until/,
    'it has ended',
  );
  t.throws(() => readIdentity(good, 'a', new Date(0)), /valid only from/, 'it has not begun');
  chmodSync(good.key, 0o644);
  refused({}, /everybody on this machine/, 'a key that is no secret');
  t.end();
});
