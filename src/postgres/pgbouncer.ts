import pg from 'pg';
import * as z from 'zod';
import { DeadlineExceeded, PgconvoyError, UnreachableError } from '../errors.ts';
import { cutOff } from './cut-off.ts';

/** How to reach the console of a PgBouncer, and where it is told whom it leads where. The password is here and nowhere else. */
export interface PgBouncerAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password?: string | undefined;
  readonly connectTimeoutMs: number;
}

export interface PgBouncerSettings {
  readonly address: PgBouncerAddress;
  /** pgbouncer.ini, or a file it includes, on this machine. */
  readonly file: string;
  /** Its databases that are switched, and which of ours they lead to; without: those of the file. */
  readonly databases?: Readonly<Record<string, string>> | undefined;
  /** Where it finds the target, as far as that differs from where we do. */
  readonly target: { readonly host?: string | undefined; readonly port?: number | undefined };
  /** How long transactions may go on once it is asked to pause. */
  readonly pauseTimeoutMs: number;
}

const Listed = z.object({
  name: z.string(),
  host: z.string().nullable(),
  port: z.coerce.number(),
  database: z.string(),
  pool_mode: z.string().nullable(),
  paused: z.coerce.number(),
});

/** A database as a running PgBouncer has it. */
export interface PgBouncerDatabase {
  readonly name: string;
  /** Null: a unix socket in its default folder. */
  readonly host: string | null;
  readonly port: number;
  /** Its name on the server. */
  readonly database: string;
  /** Where it differs from that of the others. */
  readonly poolMode: string | null;
  readonly paused: boolean;
}

const Setting = z.object({ key: z.string(), value: z.string().nullable() });
const Pool = z.object({ database: z.string(), sv_active: z.coerce.number() });

/**
 * The admin console of one PgBouncer. It speaks the simple query protocol and takes no parameters; a session that waits for a pause answers
 * nothing else, so commands at the same time have sessions of their own.
 * @see https://www.pgbouncer.org/usage.html#admin-console
 */
export class PgBouncer {
  readonly file: string;
  readonly databases: Readonly<Record<string, string>> | undefined;
  readonly target: PgBouncerSettings['target'];
  readonly pauseTimeoutMs: number;
  readonly #address: PgBouncerAddress;
  #kept: { readonly client: pg.Client; readonly timer: NodeJS.Timeout } | undefined;

  constructor({ address, file, databases, target, pauseTimeoutMs }: PgBouncerSettings) {
    this.#address = address;
    this.file = file;
    this.databases = databases;
    this.target = target;
    this.pauseTimeoutMs = pauseTimeoutMs;
  }

  /** For messages and notes: `127.0.0.1:6432`. */
  get place(): string {
    return `${this.#address.host}:${this.#address.port}`;
  }

  async list(signal: AbortSignal): Promise<PgBouncerDatabase[]> {
    const rows = await this.#ask(Listed, 'SHOW DATABASES', signal);
    return rows.map(({ name, host, port, database, pool_mode: poolMode, paused }) => ({
      name,
      host,
      port,
      database,
      poolMode,
      paused: paused !== 0,
    }));
  }

  /** What it runs with, by name. */
  async settings(signal: AbortSignal): Promise<ReadonlyMap<string, string | null>> {
    return new Map((await this.#ask(Setting, 'SHOW CONFIG', signal)).map(({ key, value }) => [key, value]));
  }

  /**
   * Nobody's statement goes to the server any more; who sends one waits. Comes back when running transactions have ended and no server
   * connection is left.
   * @throws DeadlineExceeded, resumed again, where they do not end in time
   */
  async pause(name: string, signal: AbortSignal): Promise<void> {
    const late = AbortSignal.timeout(this.pauseTimeoutMs);
    try {
      await this.#ask(z.object({}), `PAUSE ${quoted(name)}`, AbortSignal.any([signal, late]));
    } catch (error) {
      if (signal.aborted || !late.aborted) throw error;
      const busy = await this.#activeConnections(name, signal);
      await this.resume(name, signal);
      throw new DeadlineExceeded(
        `PgBouncer ${this.place}, database "${name}": ${busy} of its connections did not become free within ${this.pauseTimeoutMs} ms. It is resumed`,
        {
          hint: 'End long transactions of its clients (with pool_mode session: their sessions), or raise cutover.pgbouncer.pauseTimeout.',
          disposition: 'wait',
        },
      );
    }
  }

  /** Lets statements through again; fine where it is not paused. */
  async resume(name: string, signal: AbortSignal): Promise<void> {
    if ((await this.list(signal)).some((each) => each.name === name && each.paused))
      await this.#ask(z.object({}), `RESUME ${quoted(name)}`, signal);
  }

  /** Reads its files again. What is wrong in there it tells only to its log. */
  async reload(signal: AbortSignal): Promise<void> {
    await this.#ask(z.object({}), 'RELOAD', signal);
  }

  async #activeConnections(name: string, signal: AbortSignal): Promise<number> {
    const pools = await this.#ask(Pool, 'SHOW POOLS', signal);
    return pools.filter(({ database }) => database === name).reduce((sum, pool) => sum + pool.sv_active, 0);
  }

  async #ask<S extends z.ZodType>(row: S, command: string, signal: AbortSignal): Promise<z.output<S>[]> {
    signal.throwIfAborted();
    const kept = this.#takeKept();
    const client = kept ?? this.#newClient();
    const end = () => cutOff(client);
    signal.addEventListener('abort', end, { once: true });
    try {
      if (!kept) await client.connect();
      const { rows } = await client.query<Record<string, unknown>>(command);
      this.#keep(client);
      return rows.map((each) => row.parse(each));
    } catch (error) {
      end();
      signal.throwIfAborted();
      // It may have been started anew since that session was used.
      if (kept && !(error instanceof pg.DatabaseError)) return this.#ask(row, command, signal);
      throw this.#explained(error, command);
    } finally {
      signal.removeEventListener('abort', end);
    }
  }

  #newClient(): pg.Client {
    const { host, port, user, password, connectTimeoutMs } = this.#address;
    const client = new pg.Client({
      host,
      port,
      user,
      password: password ?? '',
      database: 'pgbouncer',
      connectionTimeoutMillis: connectTimeoutMs,
      application_name: 'pgconvoy',
    });
    client.on('error', () => {});
    return client;
  }

  /** A log-in costs more than the command: the next one follows soon. */
  #keep(client: pg.Client): void {
    this.#drop();
    this.#kept = { client, timer: setTimeout(() => this.#drop(), KEPT_MS) };
  }

  #takeKept(): pg.Client | undefined {
    const kept = this.#kept;
    this.#kept = undefined;
    clearTimeout(kept?.timer);
    return kept?.client;
  }

  #drop(): void {
    void this.#takeKept()
      ?.end()
      .catch(() => {});
  }

  #explained(error: unknown, command: string): PgconvoyError {
    const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
    const text = `PgBouncer ${this.place}: ${String(message)}`;
    // Its own errors are of class 08; what it says of a login is about passwords and admin_users.
    if (code === '08P01' && !/auth|password|not allowed|no such user/i.test(String(message))) {
      return new PgconvoyError(`${text} (${command})`, {
        hint: 'See SHOW DATABASES in its console, and cutover.pgbouncer in the configuration.',
        cause: error,
      });
    }
    return new UnreachableError(text, {
      hint: 'See that it is up, and host, port, user and password of cutover.pgbouncer; the user must be one of its admin_users.',
      cause: error,
    });
  }
}

/** Milliseconds. */
const KEPT_MS = 2_000;

/** As its console takes names. */
const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
