import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { adaptive, interrupt, loop, open, type Region } from '../../src/index.ts';
import { announced } from './pair.ts';

const strategies = { adaptive, interrupt, loop };
export type Strategy = keyof typeof strategies;

/** Starts the server in a process of its own, not pinned: the data path never passes through it. */
export async function serverRunning(socket: string, channels: number): Promise<ChildProcess> {
  const program = path.join(path.dirname(process.argv[1]!), 'ours-server.mjs');
  const args = [program, '--address', socket, '--channels', String(channels)];
  const server = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  await announced(server);
  return server;
}

/** Joins the server's region as a host process. */
export function openRegion(socket: string, name: string, strategy: Strategy): Promise<Region> {
  return open({ socket, name, wait: strategies[strategy] });
}
