import { ControlClient } from '../../host/control/control-client.ts';
import { controlPath } from '../../host/control/control-path.ts';
import { serverSocket } from './source.ts';

/** Asks the server of a region. `socket`: the option, if it was given. */
export async function askServer<T>(
  socket: string | undefined,
  ask: (client: ControlClient) => Promise<T>,
): Promise<T> {
  const client = await ControlClient.connect(controlPath(serverSocket(socket)));
  try {
    return await ask(client);
  } finally {
    client.close();
  }
}
