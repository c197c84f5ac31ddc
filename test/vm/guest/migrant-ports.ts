/** Where a migrant's servers listen. */
export const PORTS = { echo: 7001, http: 7002, tls: 7003 } as const;

/** TLS between migrants: with a key that both know there are no certificates to be made. */
const psk = Buffer.from('migrants of a test and nobody else');
export const SHARED_KEY = { ciphers: 'PSK', maxVersion: 'TLSv1.2', pskCallback: () => psk } as const;
export const SHARED_KEY_HERE = {
  ...SHARED_KEY,
  pskCallback: () => ({ psk, identity: 'migrant' }),
  checkServerIdentity: () => undefined,
} as const;
