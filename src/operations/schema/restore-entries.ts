import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import type { Database } from '../../postgres/database.ts';
import { DUMP_SESSION } from '../../postgres/dump.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import { blockersOf, describeBlocker } from '../../postgres/locks.ts';
import type { Blocker } from '../../postgres/locks.ts';
import { sql } from '../../postgres/sql.ts';
import { doneStatement } from './restore-journal.ts';
import type { PlannedEntry } from './restore-journal.ts';

/** Entries in one message to the server: enough that the way there and back does not count. */
const AT_ONCE = 100;
/** Codes of "somebody holds it": lock_timeout, deadlock. */
const LOCKED = new Set(['55P03', '40P01']);
/** Time between two attempts to get a lock, milliseconds. */
const PAUSE_MS = 200;
/** How long after the begin of an attempt it is asked whom it waits for: less than the lock timeout. */
const ASK_MS = 250;
/** In an error message. */
const SHOWN = 20;

/** Codes of "there already": schema, object, relation, function, second primary key, text search object, attached partition. */
const EXISTS = new Set(['42P06', '42710', '42P07', '42723', '42P16', '23505', '42809']);
/** What template0 brings along, and extensions. */
const BROUGHT_ALONG = new Set(['SCHEMA', 'EXTENSION', 'PROCEDURAL LANGUAGE']);

export interface Failure {
  readonly entry: PlannedEntry;
  readonly reason: string;
}

/**
 * For building indexes while rows are applied: memory for large sorts, and locks are waited for so briefly that an apply worker
 * never stands in a deadlock with us (1 s), yet long enough that autovacuum is asked to give way (100 ms).
 */
const BESIDE_APPLYING = sql`
  select pg_catalog.set_config('deadlock_timeout', '100ms', false), pg_catalog.set_config('lock_timeout', '500ms', false),
         pg_catalog.set_config('maintenance_work_mem', greatest(setting::int, 256 * 1024)::text, false)
    from pg_catalog.pg_settings where name = 'maintenance_work_mem'`;

export interface RestoreOptions {
  /** Rows are applied to the same tables meanwhile. */
  readonly besideApplying?: boolean;
  /** How long one object may go on trying to get its locks; nothing: once. */
  readonly lockDeadlineMs?: number;
  /** The database holds a part of the dump that no journal tells of: what exists is taken as made. */
  readonly tolerateExisting?: boolean;
  readonly onDone?: (entries: readonly PlannedEntry[]) => void;
  readonly onStart?: (entries: readonly PlannedEntry[]) => void;
}

/** A session to restore a dump in, prepared as the dump expects. */
export class RestoreSession {
  /** Where it is asked whom the session waits for: the maintenance database. */
  readonly #observer: Database;
  readonly #session: Database;
  readonly #pid: number;
  readonly #tablespaces: ReadonlySet<string>;
  readonly #options: RestoreOptions;
  readonly failures: Failure[] = [];

  private constructor(
    observer: Database,
    session: Database,
    pid: number,
    tablespaces: ReadonlySet<string>,
    options: RestoreOptions,
  ) {
    this.#observer = observer;
    this.#session = session;
    this.#pid = pid;
    this.#tablespaces = tablespaces;
    this.#options = options;
  }

  /** Uses the given session; what it sets there holds until the session goes to the next job. */
  static async open(
    { targetCluster }: Pick<OperationContext, 'targetCluster'>,
    session: Database,
    options: RestoreOptions = {},
  ): Promise<RestoreSession> {
    const prepared = await session.atOnce([
      DUMP_SESSION,
      ...(options.besideApplying ? [BESIDE_APPLYING] : []),
      sql`select spcname, pg_catalog.pg_backend_pid() as pid from pg_catalog.pg_tablespace`,
    ]);
    const rows = z.array(z.object({ spcname: z.string(), pid: z.number() })).parse(prepared.at(-1));
    const tablespaces = new Set(rows.map((row) => row.spcname));
    return new RestoreSession(targetCluster.maintenance, session, rows[0]!.pid, tablespaces, options);
  }

  /** Makes all of these in their order. What fails is kept in `failures`, the others are made. */
  async restoreAll(entries: readonly PlannedEntry[]): Promise<void> {
    for (let start = 0; start < entries.length; start += AT_ONCE) {
      await this.restore(entries.slice(start, start + AT_ONCE));
    }
  }

  /**
   * Makes these together, in one transaction with their marks. Where that fails they are halved until the ones that fail stand
   * alone: an error is about one object.
   * @throws what is not an object's fault: a lost connection, a lock, an abort
   */
  async restore(entries: readonly PlannedEntry[]): Promise<void> {
    this.#options.onStart?.(entries);
    const error = await this.#tryTogether(entries);
    if (!error) this.#options.onDone?.(entries);
    else if (entries.length > 1) {
      const middle = Math.ceil(entries.length / 2);
      await this.restore(entries.slice(0, middle));
      await this.restore(entries.slice(middle));
    } else await this.#oneFailed(entries[0]!, error);
  }

  async #oneFailed(entry: PlannedEntry, error: DatabaseError): Promise<void> {
    const isTolerated = this.#options.tolerateExisting === true || BROUGHT_ALONG.has(entry.entry.type);
    if (isTolerated && EXISTS.has(error.sqlstate)) {
      await this.#session.script(doneStatement([entry]));
      this.#options.onDone?.([entry]);
    } else this.failures.push({ entry, reason: error.message.replace(/^\w+, database ".*?": /s, '') });
  }

  /** Returns the server's objection; an error that would hit any statement is thrown. */
  async #tryTogether(entries: readonly PlannedEntry[]): Promise<DatabaseError | undefined> {
    const text = `${entries.map((each) => this.#textOf(each)).join('\n')}\n${doneStatement(entries)}`;
    const deadline = Date.now() + (this.#options.lockDeadlineMs ?? 0);
    for (;;) {
      const asking = new AbortController();
      const blockers = this.#blockers(asking.signal);
      try {
        await this.#session.script(text);
        return undefined;
      } catch (error) {
        if (!(error instanceof DatabaseError)) throw error;
        if (!LOCKED.has(error.sqlstate)) {
          if (isAboutTheServer(error)) throw error;
          return error;
        }
        // Others of the batch need not wait for the one that is locked.
        if (entries.length > 1) return error;
        if (Date.now() > deadline) throw waitsFor(error, entries[0]!, await blockers);
        await sleep(PAUSE_MS);
      } finally {
        asking.abort();
      }
    }
  }

  /** Whom the statement under way waits for; nobody when it has ended before that is asked. */
  async #blockers(signal: AbortSignal): Promise<readonly Blocker[]> {
    try {
      await sleep(ASK_MS, undefined, { signal });
      return await blockersOf(this.#observer, this.#pid);
    } catch {
      return [];
    }
  }

  #textOf({ entry }: PlannedEntry): string {
    const { default_tablespace: tablespace = "''", default_table_access_method: method } = entry.settings;
    const name = tablespace.startsWith('"') ? tablespace.slice(1, -1).replaceAll('""', '"') : tablespace;
    return [
      // Tablespaces are folders of the source's machine: where the target has none of that name, its default is used.
      `set default_tablespace = ${this.#tablespaces.has(name) ? tablespace : "''"};`,
      method === undefined ? '' : `set default_table_access_method = ${method};`,
      entry.sql,
    ].join('\n');
  }
}

/** The error for a lock that was not had in time: names who holds it. */
function waitsFor(error: DatabaseError, entry: PlannedEntry, blockers: readonly Blocker[]): DatabaseError {
  const [first] = blockers;
  const named = first ? blockers.slice(0, 5).map(describeBlocker).join('; ') : 'its holder has just gone';
  return new DatabaseError(`${error.message}: ${describeEntry(entry)} waits for ${named}`, {
    hint: first?.pid
      ? `Let it end, or on the target: SELECT pg_terminate_backend(${first.pid}); then retry the step.`
      : 'Let it end, then retry the step.',
    disposition: 'wait',
    sqlstate: error.sqlstate,
    cause: error,
  });
}

/** Resources, shutdown: no fault of an object. A library that is not there (58P01) is one. */
const isAboutTheServer = ({ disposition, sqlstate }: DatabaseError): boolean =>
  sqlstate.startsWith('53') || (disposition !== 'give-up' && sqlstate !== '58P01');

/** One error for all objects that could not be made, each with its own cause; causes come before what follows from them. */
export function failuresError(database: string, failures: readonly Failure[], total: number): PgconvoyError {
  const lines = failures.slice(0, SHOWN).map(({ entry, reason }) => `  ${describeEntry(entry)}: ${reason}`);
  if (failures.length > SHOWN) lines.push(`  and ${failures.length - SHOWN} more`);
  return new PgconvoyError(
    `target, database "${database}": ${failures.length} of ${total} objects could not be made:\n${lines.join('\n')}`,
    {
      hint:
        'Mend the first of them: install on the target what is missing (an extension, a language, a library), or change or drop ' +
        'the object on the source where the newer version does not take it. Then retry the step: what was made stays.',
    },
  );
}

/** `TABLE public.Order Items`, in the words of pg_dump. */
export function describeEntry({ entry }: PlannedEntry): string {
  return `${entry.type} ${entry.schema === null ? '' : `${entry.schema}.`}${entry.name}`;
}
