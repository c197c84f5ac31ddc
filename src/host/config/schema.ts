import { z } from 'zod';
import { MAX_VECTORS } from '../../memory/header.ts';
import {
  MAX_CHANNELS,
  MAX_SLOTS,
  MAX_SPACES,
  MIN_REGION_BYTES,
  PAGE_BYTES,
  REGION_NAME_BYTES,
  SPACE_NAME_BYTES,
  tablePages,
} from '../../memory/layout.ts';
import { isName } from '../../memory/names.ts';
import { controlPath } from '../control/control-protocol.ts';
import { groupId, userId } from './accounts.ts';
import { hostsSchema } from './hosts-schema.ts';

/** What one ArrayBuffer of Node 20 can span (buffer.constants.MAX_LENGTH). */
const MAX_REGION_BYTES = 2 ** 32;
export const HUGE_PAGE_BYTES = 2 << 20;
/** sun_path, less its NUL. */
const MAX_SOCKET_BYTES = 107;

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

const size = z
  .union([z.int(), z.string()])
  .transform((value, context) => {
    if (typeof value === 'number') return value;
    const match = /^(\d+)([KMG]?)(?:i?B)?$/i.exec(value.trim());
    if (match !== null) return Number(match[1]) * UNITS[match[2]!.toUpperCase()]!;
    context.addIssue(`"${value}" is no size; write a number of bytes or one with K, M or G`);
    return z.NEVER;
  })
  .refine((bytes) => bytes >= MIN_REGION_BYTES && bytes <= MAX_REGION_BYTES, 'must be from 1M to 4G')
  .refine(
    (bytes) => Number.isInteger(Math.log2(bytes)),
    'must be a power of two: a PCI BAR has no other sizes, and QEMU aborts on them',
  );

const mode = z
  .union([z.int().min(0).max(0o777), z.string().regex(/^0?[0-7]{3}$/, 'write it in octal, such as "0660"')])
  .transform((value) => (typeof value === 'number' ? value : Number.parseInt(value, 8)));

const account = (what: string, look: (name: string) => number | null) =>
  z.union([z.int().min(0), z.string().min(1)]).transform((value, context) => {
    const id = typeof value === 'number' ? value : look(value);
    if (id !== null) return id;
    context.addIssue(`there is no ${what} "${value}" on this machine`);
    return z.NEVER;
  });

const user = account('user', userId);
const group = account('group', groupId);

const rule = z
  .strictObject({
    uid: user.optional(),
    gid: group.optional(),
    pid: z.int().min(1).optional(),
    /** At most this many slots for the clients that this rule lets in. */
    slots: z.int().min(1).max(MAX_SLOTS).optional(),
  })
  .refine(({ uid, gid, pid }) => uid !== undefined || gid !== undefined || pid !== undefined, {
    message: 'name uid, gid or pid; to admit everybody write admit = "any"',
  });

const who = z
  .strictObject({ uid: user.optional(), gid: group.optional(), member: z.string().min(1).max(64).optional() })
  .refine(({ uid, gid, member }) => uid !== undefined || gid !== undefined || member !== undefined, {
    message: 'name uid, gid or member',
  });

/** Who may do what with which spaces; src/host/region/access.ts. */
const spaceRule = z.strictObject({
  space: z.string().min(1).max(SPACE_NAME_BYTES),
  open: z.array(who).optional(),
  create: z.array(who).optional(),
  hosts: z.array(z.string().min(1)).min(1).max(64).optional(),
});

const region = z
  .strictObject({
    name: z
      .string()
      .refine(
        (name) => isName(name, REGION_NAME_BYTES),
        `1 to ${REGION_NAME_BYTES} bytes, no control characters`,
      ),
    /** Path, or '@name' for an abstract socket. Absent: passed by systemd. */
    socket: z
      .string()
      .regex(/^[/@]./, 'an absolute path, or @name for an abstract socket')
      .refine((path) => Buffer.byteLength(path) <= MAX_SOCKET_BYTES, `at most ${MAX_SOCKET_BYTES} bytes`)
      .optional(),
    mode: mode.default(0o600),
    group: group.optional(),
    size: size.default(64 << 20),
    slots: z.int().min(2).max(MAX_SLOTS).default(64),
    vectors: z.int().min(1).max(MAX_VECTORS).default(2),
    channels: z.int().min(1).max(MAX_CHANNELS).default(4096),
    memory: z.enum(['memfd', 'hugepages', 'file']).default('memfd'),
    /** Whether memory in use is put into pages of 2 MiB where the kernel can; with memory = "hugepages" it is in such. */
    transparentHugePages: z.boolean().default(true),
    /** For memory = "file": on a tmpfs, normally below /dev/shm. */
    file: z.string().startsWith('/', 'an absolute path').optional(),
    /** Where operators ask, `<socket>.control` unless said otherwise; mode 0600. */
    control: z
      .string()
      .regex(/^[/@]./, 'an absolute path, or @name for an abstract socket')
      .refine((path) => Buffer.byteLength(path) <= MAX_SOCKET_BYTES, `at most ${MAX_SOCKET_BYTES} bytes`)
      .optional(),
    /** A file that repeats who is here, which members cannot write: on a tmpfs, normally below /dev/shm. */
    directory: z.string().startsWith('/', 'an absolute path').optional(),
    admit: z.union([z.literal('any'), z.array(rule)]).optional(),
    /** The first that fits the name of a space decides; without one, whoever is in the region. */
    spaces: z.array(spaceRule).max(256).optional(),
    quota: z
      .strictObject({
        /** Channels one member may hold. */
        channels: z.int().min(1).max(MAX_CHANNELS).default(1024),
        listeners: z.int().min(1).max(65536).default(1024),
        /** Spaces one member may make and hold. */
        spaces: z.int().min(1).max(MAX_SPACES).default(32),
        /** Share of the memory of channels and spaces one member may hold. */
        heap: z.number().gt(0).max(1).default(0.5),
      })
      .prefault({}),
  })
  .superRefine((value, context) => {
    const { heapPage } = tablePages(value.slots, value.channels);
    const problem = (path: string, message: string): void => {
      context.addIssue({ code: 'custom', path: [path], message });
    };
    if (heapPage >= value.size / PAGE_BYTES) {
      problem(
        'size',
        `the tables of ${value.slots} slots and ${value.channels} channels alone need ${heapPage} pages of 4096 bytes`,
      );
    }
    if ((value.memory === 'file') !== (value.file !== undefined)) {
      problem('file', 'goes with memory = "file", and only with it');
    }
    if (value.memory === 'hugepages' && value.size % HUGE_PAGE_BYTES !== 0) {
      problem('size', 'must be a multiple of 2M for huge pages');
    }
  });

const distinct = (values: readonly (string | undefined)[]): boolean => {
  const given = values.filter((value) => value !== undefined);
  return new Set(given).size === given.length;
};

/** Where the control socket of a region is; null when it has none. */
export function controlOf(region: {
  socket?: string | undefined;
  control?: string | undefined;
}): string | null {
  if (region.control !== undefined) return region.control;
  return region.socket === undefined ? null : controlPath(region.socket);
}

/** A path, '@name', or 'address:port' (an IPv6 address in brackets). */
const endpoint = z
  .string()
  .regex(/^([/@].+|(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5})$/, 'address:port, an absolute path, or @name');

export const serverSchema = z
  .strictObject({
    /** Where Prometheus asks; nowhere without. */
    metrics: endpoint.optional(),
    /** Other hosts, for spaces that spread over them. */
    hosts: hostsSchema.optional(),
    log: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
    regions: z
      .array(region)
      .min(1)
      .refine((regions) => distinct(regions.map(({ name }) => name)), 'two regions have the same name')
      .refine(
        (regions) => distinct(regions.flatMap((region) => [region.socket, controlOf(region) ?? undefined])),
        'two regions have the same socket',
      )
      .refine(
        (regions) => distinct(regions.flatMap(({ file, directory }) => [file, directory])),
        'two regions have the same file',
      ),
  })
  .superRefine(({ regions, hosts }, context) => {
    if (hosts === undefined) return;
    const found = regions.filter(({ name }) => hosts.region === undefined || name === hosts.region);
    const problem = (message: string): void =>
      context.addIssue({ code: 'custom', path: ['hosts', 'region'], message });
    if (found.length === 0) problem(`there is no region "${hosts.region}"`);
    else if (found.length > 1) problem('name the one of the regions whose spaces may spread');
    else if (found[0]!.vectors < 2) problem(`"${found[0]!.name}" has one vector, and spread spaces need two`);
  });

/** What a caller may write. */
export type ServerConfigInput = z.input<typeof serverSchema>;
export type ServerConfig = z.output<typeof serverSchema>;
export type RegionConfig = ServerConfig['regions'][number];
