import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { changesOf } from '../../membership/changes.ts';
import { isHeld, memberOf } from '../../membership/member.ts';
import type { MemberRecord } from '../../memory/member-record.ts';
import { binding } from '../../native/binding.ts';
import type { MemberReport } from '../../observe/sample.ts';
import { eventReport, memberReport } from '../../observe/tables.ts';
import type { Log } from '../log.ts';
import { Acceptor } from '../sockets/acceptor.ts';
import type { Listener } from '../sockets/listener.ts';
import type { ControlDesk, ControlSubject, Handover } from './control-desk.ts';
import { ControlSession } from './control-session.ts';

export const MAX_SESSIONS = 32;

/**
 * Answers the operators of one region: the server's user and root, whatever the socket file allows. It sleeps unless somebody
 * asks, and a client that does not read is dropped.
 */
export class ControlSocket {
  readonly #acceptor: Acceptor;
  readonly #log: Log;
  readonly #subject: ControlSubject;
  readonly #handover: Handover | undefined;
  readonly #sessions = new Set<ControlSession>();
  readonly #watchers = new Set<(line: string) => void>();
  /** By slot, while somebody watches: the event of a leave tells what the member was. */
  readonly #records = new Map<number, MemberRecord>();
  #stopViews: (() => void) | null = null;
  #closed = false;

  /** Owns the listener from now on. */
  constructor(listener: Listener, subject: ControlSubject, log: Log, handover?: Handover) {
    this.#log = log;
    this.#subject = subject;
    this.#handover = handover;
    this.#acceptor = new Acceptor(
      listener,
      (socket) => this.#connected(socket),
      (error) => log.error({ err: error }, 'cannot accept on the control socket'),
    );
  }

  get on(): string {
    return this.#acceptor.on;
  }

  /** Ends all sessions. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#acceptor.close();
    for (const session of [...this.#sessions]) session.close();
    this.#stopViews?.();
    this.#stopViews = null;
    this.#watchers.clear();
  }

  #connected(fd: number): void {
    const credentials = binding.socketCredentials(fd);
    // An abstract socket has no mode that would keep others away.
    const welcome = credentials.uid === 0 || credentials.uid === process.getuid!();
    if (!welcome || this.#sessions.size >= MAX_SESSIONS) {
      const why = welcome ? 'too many clients' : "neither the server's user nor root";
      this.#log.warn(credentials, `refused on the control socket: ${why}`);
      closeSync(fd);
      return;
    }
    const desk: ControlDesk = {
      log: this.#log.child({ control: credentials }),
      subject: this.#subject,
      handover: this.#handover,
      watch: (receive) => this.#watch(receive),
      members: () => this.#members(),
    };
    const socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
    const session = new ControlSession(socket, desk, () => this.#sessions.delete(session));
    this.#sessions.add(session);
  }

  #members(): { view: number; members: MemberReport[] } {
    const { view, records } = this.#subject.members();
    return { view, members: records.filter(isHeld).map((record) => memberReport(memberOf(record))) };
  }

  #watch(receive: (line: string) => void): () => void {
    if (this.#stopViews === null) {
      for (const record of this.#subject.members().records) {
        if (record !== null) this.#records.set(record.slot, record);
      }
      this.#stopViews = this.#subject.onView((record) => this.#tell(record));
    }
    this.#watchers.add(receive);
    return () => {
      if (!this.#watchers.delete(receive) || this.#watchers.size > 0) return;
      this.#stopViews?.();
      this.#stopViews = null;
      this.#records.clear();
    };
  }

  #tell(record: MemberRecord): void {
    const before = this.#records.get(record.slot) ?? null;
    this.#records.set(record.slot, record);
    for (const { event } of changesOf(record.slot, before, record, record.view)) {
      const line = JSON.stringify(eventReport(event));
      for (const receive of [...this.#watchers]) receive(line);
    }
  }
}
