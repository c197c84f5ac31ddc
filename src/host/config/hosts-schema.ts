import { z } from 'zod';

const NAME = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$/;
const name = z.string().regex(NAME, 'a DNS name: letters, digits, dots and dashes, as in its certificate');
const address = z
  .string()
  .regex(/^(\[[0-9a-fA-F:]+\]|[\w.-]+):\d{1,5}$/, 'address:port (an IPv6 address in brackets)')
  .refine((text) => Number(text.slice(text.lastIndexOf(':') + 1)) <= 65535, 'a port is at most 65535');
const path = z.string().startsWith('/', 'an absolute path');

/** `[hosts]`: the other hosts that spaces spread over. docs/hosts.md explains every key. */
export const hostsSchema = z
  .strictObject({
    name,
    /** Where other hosts connect to. */
    listen: address,
    /** What they connect to, if that is something else. */
    address: address.optional(),
    /** The region whose spaces may spread; the only one without. */
    region: z.string().optional(),
    /** Hosts with another name do not know each other. */
    cluster: z.string().min(1).max(64).default('ivshmem'),
    /** The other hosts, name by address; the same everywhere. */
    peers: z.record(name, address).optional(),
    /** With peers: where this host keeps its votes. */
    state: path.optional(),
    /** Instead of peers: URLs of etcd. */
    etcd: z
      .array(z.url({ protocol: /^https?$/ }))
      .min(1)
      .optional(),
    certificate: path,
    key: path,
    authority: path,
    /** Seconds after which a host that is gone is left out, and one that is cut off gives up its pages. */
    lease: z.number().min(1).max(300).default(10),
    /** Of the memory for channels and spaces, how much spread spaces may take. */
    share: z.number().gt(0).max(1).default(0.5),
  })
  .superRefine((value, context) => {
    const problem = (at: string, message: string): void => {
      context.addIssue({ code: 'custom', path: [at], message });
    };
    if ((value.peers === undefined) === (value.etcd === undefined))
      problem('peers', 'give either peers or etcd');
    if ((value.peers === undefined) !== (value.state === undefined))
      problem('state', 'goes with peers, and only with them');
    if (value.peers !== undefined && value.name in value.peers)
      problem('peers', `names this host, ${value.name}, itself`);
    if (Object.keys(value.peers ?? {}).length > 63) problem('peers', 'at most 63');
  });

export type HostsConfig = z.output<typeof hostsSchema>;

/** `[::1]:7` as address and port. */
export function splitAddress(text: string): { readonly address: string; readonly port: number } {
  const colon = text.lastIndexOf(':');
  const host = text.slice(0, colon);
  return {
    address: host.startsWith('[') ? host.slice(1, -1) : host,
    port: Number(text.slice(colon + 1)),
  };
}
