import { statSync } from 'node:fs';
import { createConnection } from 'node:net';
import { type Finding, failed, type HostCheck, ok, warning } from './finding.ts';

const CONNECT_TIMEOUT_MS = 3000;
const name = 'server';

/** Connects as a VM would and leaves at once; the slot it is given for that moment is free again afterwards. */
export const checkServerSocket: HostCheck = async ({ system, socket }) => {
  if (socket === undefined) {
    return warning(name, 'no socket named, not checked', 'Repeat with --socket PATH, or set IVSHMEM_SOCKET.');
  }
  const abstract = socket.startsWith('@');
  const path = abstract ? `\0${socket.slice(1)}` : system.path(socket);
  if (!abstract) {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined)
      return failed(
        name,
        `${socket} is absent`,
        'Start it: ivshmem server (or systemctl start ivshmem-server).',
      );
    if (!stat.isSocket())
      return failed(name, `${socket} is not a socket`, 'Name the socket of `ivshmem server`.');
  }
  return connect(socket, path);
};

function connect(socket: string, path: string): Promise<Finding> {
  return new Promise((resolve) => {
    const connection = createConnection({ path });
    const end = (finding: Finding) => {
      clearTimeout(timer);
      connection.destroy();
      resolve(finding);
    };
    const timer = setTimeout(() => {
      const found = `${socket} accepted but sent nothing in ${CONNECT_TIMEOUT_MS / 1000} s`;
      end(failed(name, found, 'Look at the log of the server; a QEMU would hang here.'));
    }, CONNECT_TIMEOUT_MS);
    connection.once('data', (data) => {
      // First message: the protocol version, a 64-bit 0 (ivshmem spec, "Client-Server protocol").
      if (data.length >= 8 && data.readBigInt64LE(0) === 0n)
        end(ok(name, `${socket} answers, protocol version 0`));
      else
        end(
          failed(
            name,
            `${socket} is not an ivshmem server or refuses this user`,
            'See the admission list of the region and the log of the server.',
          ),
        );
    });
    connection.once('end', () =>
      end(
        failed(
          name,
          `${socket} closed the connection`,
          'See the admission list of the region and the log of the server.',
        ),
      ),
    );
    connection.once('error', (error: NodeJS.ErrnoException) => {
      const fix =
        error.code === 'EACCES'
          ? "Give this user access to the socket: the region's mode and group in the server's configuration."
          : 'Start it: ivshmem server. A socket left by a dead server may be removed.';
      end(failed(name, `${socket} cannot be connected to (${error.code})`, fix));
    });
  });
}
