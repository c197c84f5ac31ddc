import { crc32 } from 'node:zlib';
