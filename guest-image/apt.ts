import { existsSync } from 'node:fs';
import { command } from './command.ts';

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/**
 * The Debian archive this machine's apt takes its own packages from, or MIRROR. The guest's packages come from there
 * too, so that a proxy, a local mirror or a snapshot set up for the machine serves the image as well.
 * @throws Error when apt knows no Debian archive (not a Debian machine, or no sources).
 */
export async function debianMirror(): Promise<string> {
  if (process.env.MIRROR) return process.env.MIRROR;
  const format = '$(REPO_URI)|$(LABEL)|$(COMPONENT)|$(RELEASE)';
  const targets = await command('apt-get', ['indextargets', '--format', format, 'Created-By: Packages']);
  const archive = pickArchive(targets);
  if (archive) return archive;
  throw new Error('cannot choose a Debian mirror: apt on this machine has none. Set MIRROR=<archive URI>.');
}

/** Picks the main archive out of `apt-get indextargets` lines `uri|label|component|release`. */
export function pickArchive(targets: string): string | undefined {
  const rows = targets.split('\n').map((line) => line.split('|'));
  const main = rows.filter(
    ([, , component, release]) =>
      component === 'main' && !/-(security|updates|backports)/.test(release ?? ''),
  );
  // The label is there only after an `apt-get update`; without it a source list names the archive by its path.
  const found =
    main.find(([, label]) => label === 'Debian') ?? main.find(([uri]) => /\/debian\/?$/.test(uri ?? ''));
  return found?.[0];
}

/** Options that hand the machine's proxy settings to another apt (mmdebstrap starts one with a configuration of its own). */
export async function aptOptions(): Promise<string[]> {
  const dump = await command('apt-config', ['dump']);
  return dump.split('\n').filter((line) => /^Acquire::https?::Proxy(::\S+)? "[^"]+";$/i.test(line));
}

/**
 * One apt source line for a suite, signed by Debian's archive keys.
 * @throws Error when the keys of Debian are not on this machine.
 */
export async function sourceLine(suite: string): Promise<string> {
  if (!existsSync(keyring)) {
    throw new Error(
      `cannot verify Debian packages: ${keyring} is absent. Run \`apt-get install debian-archive-keyring\`.`,
    );
  }
  return `deb [signed-by=${keyring}] ${await debianMirror()} ${suite} main`;
}
