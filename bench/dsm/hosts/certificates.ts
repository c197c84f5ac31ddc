import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Beside the bundled programs, which find it there. */
export const PAPERS_FOLDER = 'dsm-hosts';
/** The two hosts of a sample. */
export const HOST_NAMES = ['a', 'b'] as const;

/** What a host shows to the other: paths of PEM files. */
export interface Papers {
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
}

/** Where `makePapers` put those of a host. */
export function papersOf(folder: string, host: string): Papers {
  const at = (name: string): string => path.join(folder, name);
  return { certificate: at(`${host}.pem`), key: at(`${host}.key`), authority: at('authority.pem') };
}

/** An authority and a certificate for each host, as docs/hosts.md has them made. Throws when there is no openssl command. */
export function makePapers(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const at = (name: string): string => path.join(folder, name);
  const openssl = (...args: readonly string[]): void =>
    void execFileSync('openssl', args, { stdio: 'pipe', timeout: 60_000 });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const authority = ['-subj', '/CN=bench', '-keyout', at('authority.key'), '-out', at('authority.pem')];
  openssl('req', '-x509', ...newKey, '-days', '2', ...authority);
  for (const host of HOST_NAMES) {
    const [request, extensions] = [at(`${host}.csr`), at(`${host}.ext`)];
    openssl('req', '-new', ...newKey, '-subj', `/CN=${host}`, '-keyout', at(`${host}.key`), '-out', request);
    writeFileSync(extensions, `subjectAltName=DNS:${host}\n`);
    const issued = ['-CAcreateserial', '-days', '2', '-extfile', extensions, '-out', at(`${host}.pem`)];
    openssl(
      'x509',
      '-req',
      '-in',
      request,
      '-CA',
      at('authority.pem'),
      '-CAkey',
      at('authority.key'),
      ...issued,
    );
  }
}
