import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { IvshmemError } from '../../errors/index.ts';

/** PEM texts, as the engine and TLS take them. */
export interface HostIdentity {
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
}

export interface IdentityFiles {
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
}

/** serverAuth and clientAuth (RFC 5280 §4.2.1.12). */
const USAGES = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'];
const BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/**
 * Reads what a host proves itself with, and looks whether other hosts will believe it: a certificate for `name` that is valid now,
 * issued by the authority, with its key, which nobody else may read. Throws ERR_IVSHMEM_HOSTS_IDENTITY.
 */
export function readIdentity(files: IdentityFiles, name: string, now = new Date()): HostIdentity {
  const certificate = read('certificate', files.certificate);
  const key = read('key', files.key);
  const authority = read('authority', files.authority);
  const [own, ...chain] = certificates('certificate', files.certificate, certificate);
  const believed = certificates('authority', files.authority, authority);
  const refuse = (why: string): never => {
    throw failed('certificate', files.certificate, why);
  };
  if (own!.checkHost(name, { subject: 'never', wildcards: false }) === undefined)
    refuse(`it is not for ${name} but for ${own!.subjectAltName ?? 'nobody: it has no subjectAltName'}`);
  // Undefined: for everything.
  const usages = own!.keyUsage as readonly string[] | undefined;
  if (usages !== undefined && !USAGES.every((usage) => usages.includes(usage)))
    refuse('its extendedKeyUsage is not for both serverAuth and clientAuth: of two hosts either connects');
  for (const one of [own!, ...chain]) {
    if (new Date(one.validFrom) > now) refuse(`it is valid only from ${one.validFrom} on`);
    if (new Date(one.validTo) < now) refuse(`it was valid until ${one.validTo}`);
  }
  if (!leads(own!, chain, believed))
    refuse(
      `it was issued by ${own!.issuer.replaceAll('\n', ', ')}, which ${files.authority} does not lead to`,
    );
  checkKey(own!, key, files.key);
  return { certificate, key, authority };
}

/** Whether signatures lead from a certificate to one that is believed. */
function leads(
  own: X509Certificate,
  chain: readonly X509Certificate[],
  believed: readonly X509Certificate[],
): boolean {
  let last = own;
  for (let steps = 0; steps <= chain.length; steps++) {
    if (believed.some((one) => signed(last, one))) return true;
    const next = chain.find((one) => one !== last && signed(last, one));
    if (next === undefined) return false;
    last = next;
  }
  return false;
}

function signed(one: X509Certificate, by: X509Certificate): boolean {
  return one.checkIssued(by) && one.verify(by.publicKey);
}

function checkKey(own: X509Certificate, key: string, path: string): void {
  let matches: boolean;
  try {
    matches = own.checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    throw failed('key', path, `it is no private key in PEM without a passphrase: ${message(cause)}`, cause);
  }
  if (!matches) throw failed('key', path, 'it is the key of another certificate');
  // Who may read it can be this host.
  if ((statSync(path).mode & 0o007) !== 0)
    throw failed('key', path, 'everybody on this machine may use it; set mode 0600');
}

function certificates(what: string, path: string, text: string): X509Certificate[] {
  const blocks = text.match(BLOCK) ?? [];
  if (blocks.length === 0) throw failed(what, path, 'it holds no certificate in PEM');
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (cause) {
    throw failed(what, path, `it holds a certificate that cannot be read: ${message(cause)}`, cause);
  }
}

function read(what: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw failed(what, path, message(cause), cause);
  }
}

const message = (cause: unknown): string => (cause as Error).message;

function failed(what: string, on: string, why: string, cause?: unknown): IvshmemError {
  return new IvshmemError('ERR_IVSHMEM_HOSTS_IDENTITY', { what, on, why }, { cause });
}
