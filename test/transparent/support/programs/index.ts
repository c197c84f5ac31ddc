import type { Program } from '../program.ts';
import * as frameworks from './frameworks.ts';
import * as http from './http.ts';
import * as http2 from './http2.ts';
import * as net from './net.ts';
import * as tls from './tls.ts';

export const programs: Readonly<Record<string, Program>> = {
  ...net,
  ...http,
  ...tls,
  ...http2,
  ...frameworks,
};
