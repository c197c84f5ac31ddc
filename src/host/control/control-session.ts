import type { Socket } from 'node:net';
import { IvshmemError, isIvshmemError } from '../../errors/index.ts';
import type { MemberReport } from '../../observe/sample.ts';
import type { ControlDesk } from './control-desk.ts';
import { type ControlRequest, type Failure, requestSchema } from './control-protocol.ts';

/** A request is short; whoever sends more without a newline is no operator. */
const MAX_LINE_BYTES = 4096;
/** Events that may wait unread for a client before it is dropped. */
const MAX_UNREAD_BYTES = 1 << 20;
const NEWLINE = 10;

/** One connection to the control socket. Requests are answered in their order, one at a time, as fast as answers are read. */
export class ControlSession {
  readonly #socket: Socket;
  readonly #desk: ControlDesk;
  readonly #onGone: () => void;
  #received = Buffer.alloc(0);
  #state: 'ready' | 'busy' | 'ending' = 'ready';
  #ended = false;
  #stopWatching: (() => void) | null = null;

  /** Owns the socket, which must be allowed to be half open: who says all it has to say still gets its answers. */
  constructor(socket: Socket, desk: ControlDesk, onGone: () => void) {
    this.#socket = socket;
    this.#desk = desk;
    this.#onGone = onGone;
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#serve();
    });
    socket.on('end', () => {
      this.#ended = true;
      this.#serve();
    });
    socket.on('drain', () => this.#serve());
    // 'close' follows. That a client went away is nobody's fault.
    socket.on('error', (error) => desk.log.debug({ err: error }, 'a control connection failed'));
    socket.on('close', () => {
      this.#stopWatching?.();
      this.#onGone();
    });
  }

  /** Idempotent. */
  close(): void {
    this.#socket.destroy();
  }

  #serve(): void {
    const socket = this.#socket;
    while (this.#state === 'ready' && !socket.destroyed && !socket.writableNeedDrain) {
      const line = this.#nextLine();
      if (line === null) break;
      this.#answer(line);
    }
    if (socket.destroyed || this.#state === 'ending') return;
    if (this.#state === 'busy' || socket.writableNeedDrain) socket.pause();
    else if (this.#ended) socket.end();
    else socket.resume();
  }

  #nextLine(): string | null {
    const end = this.#received.indexOf(NEWLINE);
    if (Math.max(end, end < 0 ? this.#received.length : 0) > MAX_LINE_BYTES) {
      this.#desk.log.warn('a control client sends a line that is too long');
      this.#state = 'ending';
      this.#send(failure(refused(`the line is longer than ${MAX_LINE_BYTES} bytes`)));
      this.#socket.destroySoon();
      return null;
    }
    if (end < 0) return null;
    const line = this.#received.toString('utf8', 0, end);
    this.#received = this.#received.subarray(end + 1);
    return line;
  }

  /** At once where it can be: the answer to `watch` must come before the first event. */
  #answer(line: string): void {
    try {
      const result = this.#perform(parseRequest(line));
      if (!(result instanceof Promise)) {
        this.#send({ ok: true, ...result });
        return;
      }
      this.#state = 'busy';
      const finish = (answer: object): void => {
        this.#state = 'ready';
        this.#send(answer);
        this.#serve();
      };
      result.then(
        (value) => finish({ ok: true, ...value }),
        (error: unknown) => finish(this.#failed(error)),
      );
    } catch (error) {
      this.#send(this.#failed(error));
    }
  }

  #perform(request: ControlRequest): object | Promise<object> {
    const { subject, log, handover } = this.#desk;
    switch (request.op) {
      case 'status':
        return { status: subject.status() };
      case 'members':
        return { region: subject.name, ...this.#desk.members() };
      case 'watch':
        this.#stopWatching ??= this.#desk.watch((event) => this.#push(event));
        return { region: subject.name, ...this.#desk.members() };
      case 'sample':
        return subject.sample().then((sample) => ({ sample }));
      case 'evict':
        return this.#evict(request.member);
      case 'drain':
        return this.#drain(request.member, request.migrates ?? false, request.ms ?? 0);
      case 'undrain': {
        const member = this.#find(request.member, (slot) => this.#desk.subject.undrain(slot));
        log.info({ slot: member.slot, epoch: member.epoch, member: member.name }, 'takes back a drain');
        return { member };
      }
      case 'spaces':
        return subject.spaces();
      case 'remove-space': {
        const { space, force = false } = request;
        return subject.removeSpace(space, force).then((removed) => {
          log.info({ space, force, ...removed }, 'removes a space');
          return removed;
        });
      }
      case 'handover': {
        if (handover === undefined) throw refused('this server hands nothing over');
        log.info('asked for a handover');
        const { op: _, ...details } = request;
        return handover(details);
      }
    }
  }

  #evict(named: string | number): object {
    const member = this.#find(named, (slot) => this.#desk.subject.evict(slot));
    this.#desk.log.info({ slot: member.slot, epoch: member.epoch, member: member.name }, 'evicts');
    return { member };
  }

  async #drain(named: string | number, migrates: boolean, ms: number): Promise<object> {
    let waiting: Promise<number> | null = null;
    const member = this.#find(named, (slot) => {
      waiting = this.#desk.subject.drain(slot, { migrates, ms });
      return waiting !== null;
    });
    this.#desk.log.info({ slot: member.slot, epoch: member.epoch, member: member.name, migrates }, 'drains');
    return { member, channels: await waiting };
  }

  /** The member of that name or slot, with which `act` could do what was asked. */
  #find(named: string | number, act: (slot: number) => boolean): MemberReport {
    const member = this.#desk
      .members()
      .members.find(({ slot, name, state }) =>
        typeof named === 'number' ? slot === named : state !== 'joining' && name === named,
      );
    if (member === undefined || !act(member.slot))
      throw new IvshmemError('ERR_IVSHMEM_NO_MEMBER', { member: named });
    return member;
  }

  #push(line: string): void {
    if (this.#socket.destroyed) return;
    const unread = this.#socket.writableLength;
    if (unread <= MAX_UNREAD_BYTES) {
      this.#socket.write(`${line}\n`);
      return;
    }
    this.#desk.log.warn({ unread }, 'dropped a control client that does not read');
    this.#socket.destroy();
  }

  #send(answer: object): void {
    if (!this.#socket.destroyed) this.#socket.write(`${JSON.stringify(answer)}\n`);
  }

  #failed(error: unknown): Failure {
    if (!isIvshmemError(error)) this.#desk.log.error({ err: error }, 'a control request failed');
    return failure(error);
  }
}

function parseRequest(line: string): ControlRequest {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw refused(`the line is no JSON: ${(cause as Error).message}`);
  }
  const result = requestSchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw refused(`${issue!.path.length > 0 ? `${issue!.path.join('.')}: ` : ''}${issue!.message}`);
}

function refused(why: string): IvshmemError {
  return new IvshmemError('ERR_IVSHMEM_CONTROL_REQUEST', { why });
}

function failure(error: unknown): Failure {
  const { message } = error as Error;
  return { ok: false, code: isIvshmemError(error) ? error.code : 'ERR_INTERNAL', message };
}
