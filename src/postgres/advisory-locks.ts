import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import * as z from 'zod';
import { PgconvoyError } from '../errors.ts';
import type { Cluster } from './cluster.ts';
import { cutOff } from './cut-off.ts';
import { toPgconvoyError } from './errors.ts';

/** Between two looks at a lock that somebody else holds, milliseconds: the first soon, since it may just be handed on. */
const POLL_FIRST_MS = 5;
const POLL_MS = 250;
/** Looks before it is asked who holds the lock: 75 ms, longer than it takes to ask for one that lingers. */
const PATIENT_LOOKS = 4;
/** How long a lock that was given back stays on the server for the next step of its lane, milliseconds. Whoever asks for it has it at once. */
const LINGER_MS = 2_000;
/** By which sessions that hold locks are told that somebody else wants one. */
const CHANNEL = 'pgconvoy_locks';
/** How often a session that holds locks is asked whether it lives, and how long it may take to answer, milliseconds. */
const HEARTBEAT_MS = 10_000;
const ANSWER_MS = 20_000;

export interface LockRequest {
  readonly signal: AbortSignal;
  /** How long to wait for whoever holds the lock. */
  readonly deadlineMs: number;
  /** Called when the session that holds the lock is gone: from then on somebody else may have it. */
  readonly onLost: (error: PgconvoyError) => void;
  /** Called once when the lock is not free, with who holds it. */
  readonly onWait?: (holder: string) => void;
}

/** Gives the lock back. Never throws: a session that is gone has given it back already. */
export type Release = () => Promise<void>;

interface Session {
  readonly client: pg.Client;
  readonly held: Map<string, (error: PgconvoyError) => void>;
  /** Ids of locks that others have asked for while they were held here: these do not linger. */
  readonly wanted: Set<string>;
  readonly heartbeat: NodeJS.Timeout;
  /** One after the other: many locks are asked for at the same time. */
  readonly query: (text: string, values?: readonly unknown[]) => Promise<pg.QueryResult<Record<string, unknown>>>;
}

/**
 * Session advisory locks of one process on one cluster: one session in the maintenance database holds them all. Within the process a
 * key is held by one at a time as well, since PostgreSQL would give a session its own lock twice. A lock that was given back lingers in the
 * session, since the next step of the lane most likely runs here and then need not ask any server; others ask for it by NOTIFY.
 * @see https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
 * @see https://www.postgresql.org/docs/current/sql-notify.html
 */
export class AdvisoryLocks {
  readonly #cluster: Cluster;
  readonly #applicationName: string;
  /** Per key the end of whoever holds it in this process. */
  readonly #local = new Map<string, Promise<void>>();
  /** Locks that nobody holds in here, and that the session has not given back yet. */
  readonly #lingering = new Map<string, NodeJS.Timeout>();
  #session: Promise<Session> | undefined;

  constructor(cluster: Cluster, applicationName: string) {
    this.#cluster = cluster;
    this.#applicationName = applicationName;
  }

  /**
   * Waits for the lock until the deadline.
   * @throws PgconvoyError of disposition `wait` that names the holder; whatever the signal is aborted with; UnreachableError
   */
  async hold(key: string, request: LockRequest): Promise<Release> {
    const deadline = Date.now() + request.deadlineMs;
    const releaseLocal = await this.#holdLocally(key, deadline, request);
    try {
      const session = await this.#holdOnServer(key, deadline, request);
      return async () => {
        // Of a session that was lost the lock is gone as well.
        const isHeld = session.held.delete(key);
        if (!isHeld || session.wanted.delete(lockId(key))) await unlock(session, key);
        else this.#lingering.set(key, setTimeout(() => this.#unlockLingering(session, key), LINGER_MS).unref());
        releaseLocal();
      };
    } catch (error) {
      releaseLocal();
      throw error;
    }
  }

  /** Ends the session, and with it every lock. */
  async close(): Promise<void> {
    const session = await this.#session?.catch(() => undefined);
    this.#session = undefined;
    this.#forgetLingering();
    if (!session) return;
    clearInterval(session.heartbeat);
    session.held.clear();
    await session.client.end().catch(() => {});
  }

  #forgetLingering(): void {
    for (const timer of this.#lingering.values()) clearTimeout(timer);
    this.#lingering.clear();
  }

  async #holdLocally(key: string, deadline: number, request: LockRequest): Promise<() => void> {
    for (;;) {
      request.signal.throwIfAborted();
      const others = this.#local.get(key);
      if (!others) break;
      if (Date.now() > deadline) throw this.#taken(key, 'another step of this worker');
      request.onWait?.('another step of this worker');
      await Promise.race([others, sleep(POLL_MS)]);
    }
    let end = () => {};
    this.#local.set(key, new Promise((resolve) => (end = resolve)));
    return () => {
      this.#local.delete(key);
      end();
    };
  }

  async #holdOnServer(key: string, deadline: number, request: LockRequest): Promise<Session> {
    for (let looks = 1; ; looks += 1) {
      request.signal.throwIfAborted();
      const session = await this.#open();
      if (this.#takesLingering(key) || (await this.#tryOnServer(session, key))) {
        session.held.set(key, request.onLost);
        return session;
      }
      const isLate = Date.now() > deadline;
      if (looks === PATIENT_LOOKS || isLate) {
        const holder = await this.#holder(session, key);
        if (isLate) throw this.#taken(key, holder);
        request.onWait?.(holder);
      }
      const pause = Math.min(POLL_MS, POLL_FIRST_MS * 2 ** (looks - 1));
      await sleep(pause, undefined, { signal: request.signal }).catch(() => {});
    }
  }

  #takesLingering(key: string): boolean {
    clearTimeout(this.#lingering.get(key));
    return this.#lingering.delete(key);
  }

  #unlockLingering(session: Session, key: string): void {
    if (this.#takesLingering(key)) void unlock(session, key);
  }

  /** Somebody else has asked for this lock. */
  #giveUp(session: Session, id: string): void {
    const key = [...this.#lingering.keys()].find((each) => lockId(each) === id);
    if (key !== undefined) this.#unlockLingering(session, key);
    else if ([...session.held.keys()].some((each) => lockId(each) === id)) session.wanted.add(id);
  }

  /** Where it is taken, whoever holds it is told that it is wanted. */
  async #tryOnServer(session: Session, key: string): Promise<boolean> {
    return (await this.#ask(session, Got, TRY, [lockId(key), CHANNEL])).got;
  }

  async #ask<S extends z.ZodType>(session: Session, schema: S, text: string, values: unknown[]): Promise<z.output<S>> {
    try {
      const result = await session.query(text, values);
      return schema.parse(result.rows[0]);
    } catch (error) {
      throw toPgconvoyError(error, { server: this.#cluster.side, database: this.#cluster.maintenanceDatabase });
    }
  }

  async #holder(session: Session, key: string): Promise<string> {
    const id = BigInt.asUintN(64, BigInt(lockId(key)));
    const row = await this.#ask(session, Holder, HOLDER, [String(id >> 32n), String(id & 0xffff_ffffn)]);
    if (row.pid === null) return 'somebody who has just let it go';
    return `the session with pid ${row.pid} (${row.application_name || 'without application_name'}, from ${row.client || 'a unix socket'})`;
  }

  #taken(key: string, holder: string): PgconvoyError {
    return new PgconvoyError(`${this.#cluster.side}: ${key} is being worked on by ${holder}`, {
      hint: `Wait for the other run, or cancel it (pgconvoy runs shows them). If nothing runs there any more: select pg_terminate_backend(PID) on the ${this.#cluster.side}.`,
      disposition: 'wait',
    });
  }

  #open(): Promise<Session> {
    this.#session ??= this.#connect().catch((error: unknown) => {
      this.#session = undefined;
      throw error;
    });
    return this.#session;
  }

  async #connect(): Promise<Session> {
    const client = await this.#cluster.connect(this.#cluster.maintenanceDatabase, this.#applicationName);
    const held: Session['held'] = new Map();
    const wanted: Session['wanted'] = new Set();
    let last: Promise<unknown> = Promise.resolve();
    const query: Session['query'] = (text, values = []) => {
      const next = last.then(() => client.query<Record<string, unknown>>(text, [...values]));
      last = next.catch(() => {});
      return next;
    };
    const alive = async () => {
      const answer = query('select 1').catch(() => {});
      const late = await Promise.race([answer.then(() => false), sleep(ANSWER_MS, true, { ref: false })]);
      // A peer that vanished without a word would keep the socket open for hours.
      if (late) cutOff(client);
    };
    const heartbeat = setInterval(() => void alive(), HEARTBEAT_MS);
    heartbeat.unref();
    client.once('end', () => {
      clearInterval(heartbeat);
      this.#session = undefined;
      this.#forgetLingering();
      const lost = new PgconvoyError(
        `${this.#cluster.side}: the session that holds the locks of this worker was lost`,
        {
          hint: 'See that the server is up; the step is tried again.',
          disposition: 'retry',
        },
      );
      for (const onLost of held.values()) onLost(lost);
      held.clear();
    });
    // 14 and later; the others have no such setting.
    await client.query(
      `listen ${CHANNEL}; select set_config(name, '0', false) from pg_catalog.pg_settings where name = 'idle_session_timeout'`,
    );
    const session = { client, held, wanted, heartbeat, query };
    client.on('notification', ({ payload = '' }) => this.#giveUp(session, payload));
    return session;
  }
}

async function unlock({ query }: Session, key: string): Promise<void> {
  await query('select pg_advisory_unlock($1)', [lockId(key)]).catch(() => {});
}

const Got = z.object({ got: z.boolean() });
const TRY = `
  select got, case when not got then pg_catalog.pg_notify($2, $1::text)::text end
    from (select pg_catalog.pg_try_advisory_lock($1::bigint) as got offset 0) tried`;

const Holder = z.object({
  pid: z.number().nullable(),
  application_name: z.string().nullable(),
  client: z.string().nullable(),
});

/** $1, $2: upper and lower half of the key. Without the right to see others' sessions only the pid is known. */
const HOLDER = `
  select a.pid, a.application_name, host(a.client_addr) as client
    from (select 1) as always
    left join pg_catalog.pg_locks l on l.locktype = 'advisory' and l.objsubid = 1 and l.granted
      and l.classid::bigint = $1::bigint and l.objid::bigint = $2::bigint
      and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
    left join pg_catalog.pg_stat_activity a on a.pid = l.pid
   limit 1`;

/** Known ones: somebody who asks for many locks has each of them looked for among all that are held. */
const ids = new Map<string, string>();

/** 64 bits of a hash, as the signed number PostgreSQL takes. */
function lockId(key: string): string {
  let known = ids.get(key);
  if (known === undefined) {
    known = String(createHash('sha256').update(`pgconvoy ${key}`).digest().readBigInt64BE(0));
    ids.set(key, known);
  }
  return known;
}
