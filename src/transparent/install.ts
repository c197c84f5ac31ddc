import { syncBuiltinESMExports } from 'node:module';
import { patchHttp2 } from './http2.ts';
import { patchNet } from './net.ts';
import { OwnRegion } from './region.ts';
import { readSettings } from './settings.ts';
import { patchTls } from './tls.ts';

const INSTALLED = Symbol.for('ivshmem.transparent');

/** Once in each thread, whoever asks for it and however often. */
export function install(): void {
  const everywhere = globalThis as { [INSTALLED]?: true };
  if (everywhere[INSTALLED]) return;
  const settings = readSettings(process.env);
  if (!settings.on) return;
  everywhere[INSTALLED] = true;
  const own = new OwnRegion(settings);
  patchNet(own);
  patchTls(own);
  patchHttp2(own);
  // Also for `import { connect } from 'node:tls'`.
  syncBuiltinESMExports();
  nameForChildren();
}

/** A child may run in another folder, where the package's name means nothing. */
function nameForChildren(): void {
  const { NODE_OPTIONS } = process.env;
  const here = new URL(import.meta.url.replace(/install\.(ts|js)$/, 'index.$1')).href;
  const named = /(["']?--import["']?[= ]\s*)(["']?)ivshmem\/transparent\2(?=["'\s]|$)/g;
  if (NODE_OPTIONS !== undefined && named.test(NODE_OPTIONS))
    process.env.NODE_OPTIONS = NODE_OPTIONS.replace(named, `$1$2${here}$2`);
}
