import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Issued {
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
}

/** An authority of its own in a folder, with certificates as docs/hosts.md makes them. Needs the openssl command. */
export class Authority {
  readonly #folder: string;
  readonly #name: string;
  readonly path: string;

  constructor(folder: string, name = 'authority') {
    this.#folder = folder;
    this.#name = name;
    this.path = this.#file('pem');
    const key = this.#file('key');
    this.#openssl(
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-subj', `/CN=${name}`, '-keyout', key, '-out', this.path],
    );
  }

  /** Paths of a certificate for `host` and its key. `days` below 0: it has ended. `more`: lines of extensions. */
  issue(host: string, days = 2, file = host, more = ''): Issued {
    const at = (extension: string): string => join(this.#folder, `${file}.${extension}`);
    this.#openssl(
      ...['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-subj', `/CN=${host}`, '-keyout', at('key'), '-out', at('csr')],
    );
    writeFileSync(at('ext'), `subjectAltName=DNS:${host}\n${more}`);
    this.#openssl(
      ...['x509', '-req', '-in', at('csr'), '-CA', this.path, '-CAkey', this.#file('key'), '-CAcreateserial'],
      ...['-days', String(days), '-extfile', at('ext'), '-out', at('pem')],
    );
    return { certificate: at('pem'), key: at('key'), authority: this.path };
  }

  #file(extension: string): string {
    return join(this.#folder, `${this.#name}.${extension}`);
  }

  #openssl(...args: readonly string[]): void {
    execFileSync('openssl', args, { stdio: 'pipe', timeout: 30_000 });
  }
}

/** Why tests that need certificates cannot run; null when they can. */
export function withoutOpenssl(): string | null {
  try {
    execFileSync('openssl', ['version'], { stdio: 'pipe' });
    return null;
  } catch {
    return 'openssl is not installed';
  }
}
