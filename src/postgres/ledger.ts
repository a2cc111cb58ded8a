import * as z from 'zod';
import type { BoundCluster, Cluster } from './cluster.ts';
import {
  Found,
  forgetNote,
  forgetNotes,
  ledgerExists,
  LedgerEntry,
  ledgerTable,
  notes,
  notesOn,
  recordNote,
  replaceNote,
  replaceNotes,
  SCHEMA,
} from './catalog/ledger-notes.ts';
import type { LedgerKey } from './catalog/ledger-notes.ts';
import { DatabaseError } from './errors.ts';
import { id, sql } from './sql.ts';
import type { Sql } from './sql.ts';

/** Clusters whose ledger this process has seen: inside a write outage each round trip counts. */
const seen = new WeakSet<Cluster>();

/**
 * The record a cluster keeps of what pgconvoy changed in it and how to put it back: schema `pgconvoy` in its maintenance
 * database. Written before the change. What can be recognised by its name (publications, slots, …) is not in here.
 */
export class Ledger {
  readonly #cluster: BoundCluster;

  constructor(cluster: BoundCluster) {
    this.#cluster = cluster;
  }

  /**
   * Notes what was before a change. The first note wins: a step that runs again after it was killed must not record its
   * own change as the original.
   */
  async record(key: LedgerKey, before: unknown): Promise<void> {
    await this.#write(recordNote(key, before));
  }

  /** Replaces a note; for what is a state of ours (a deadline, a secret), not the original of something. */
  async replace(key: LedgerKey, before: unknown): Promise<void> {
    await this.#write(replaceNote(key, before));
  }

  /** The same for many databases in one statement. */
  async replaceAll(kind: string, before: ReadonlyMap<string, unknown>): Promise<void> {
    if (before.size > 0) await this.#write(replaceNotes(kind, before));
  }

  /** All notes, or those of one kind and database. Oldest first. */
  async entries(kind?: string, database?: string): Promise<LedgerEntry[]> {
    const read = () => this.#cluster.maintenance.many(LedgerEntry, notes(kind, database));
    return (await this.#ifThere(read)) ?? [];
  }

  /** Notes on these databases, of any kind or of some. Oldest first. */
  async entriesOn(databases: readonly string[], kinds?: readonly string[]): Promise<LedgerEntry[]> {
    const read = () => this.#cluster.maintenance.many(LedgerEntry, notesOn(databases, kinds));
    return (await this.#ifThere(read)) ?? [];
  }

  /** All notes on these databases and, in the same round trip, the rows of a query. */
  async entriesAnd(
    databases: readonly string[],
    query: Sql,
  ): Promise<{ readonly notes: LedgerEntry[]; readonly rows: readonly unknown[] }> {
    const { maintenance } = this.#cluster;
    const both = await this.#ifThere(() => maintenance.atOnce([notesOn(databases), query]));
    const [entries, rows] = both ?? [[], ...(await maintenance.atOnce([query]))];
    return { notes: z.array(LedgerEntry).parse(entries), rows: rows ?? [] };
  }

  async find(key: LedgerKey): Promise<LedgerEntry | undefined> {
    const entries = await this.entries(key.kind, key.database ?? '');
    return entries.find((entry) => entry.object === (key.object ?? ''));
  }

  /** The change is taken back, or belongs to the operator now. */
  async forget(key: LedgerKey): Promise<void> {
    await this.#ifThere(() => this.#cluster.maintenance.run(forgetNote(key)));
  }

  /** The same for a kind of note of many databases. */
  async forgetAll(kind: string, databases: readonly string[]): Promise<void> {
    await this.#ifThere(() => this.#cluster.maintenance.run(forgetNotes(kind, databases)));
  }

  async exists(): Promise<boolean> {
    const { found } = await this.#cluster.maintenance.one(Found, ledgerExists());
    return found;
  }

  /** Removes the ledger itself; the last thing uninstall does. */
  async drop(): Promise<void> {
    await this.#cluster.maintenance.run(sql`drop schema if exists ${id(SCHEMA)} cascade`);
  }

  /** Removes a ledger without notes, so that what only looked leaves nothing behind. Somebody may just be writing the first note. */
  async dropIfEmpty(): Promise<void> {
    const database = this.#cluster.maintenance;
    if (!(await this.exists())) return;
    await database.transaction(async () => {
      await database.run(sql`lock table ${id(SCHEMA, 'ledger')} in access exclusive mode`);
      const { found } = await database.one(
        Found,
        sql`select exists (select from ${id(SCHEMA, 'ledger')})
                or (select count(*) > 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace
                     where n.nspname = ${SCHEMA} and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')) as found`,
      );
      if (!found) await this.drop();
    });
  }

  /** Asks whether there is a ledger only until it was seen once; uninstall may have dropped it since. */
  async #ifThere<T>(body: () => Promise<T>): Promise<T | undefined> {
    const { cluster } = this.#cluster;
    if (!seen.has(cluster)) {
      if (!(await this.exists())) return undefined;
      seen.add(cluster);
    }
    try {
      return await body();
    } catch (error) {
      if (!isUndefinedTable(error)) throw error;
      seen.delete(cluster);
      return undefined;
    }
  }

  async #write(statement: Sql): Promise<void> {
    if ((await this.#ifThere(() => this.#cluster.maintenance.run(statement))) !== undefined) return;
    await this.prepare();
    await this.#cluster.maintenance.run(statement);
  }

  /** Makes the ledger where there is none; the first note does it too, unless that is written inside a transaction. */
  async prepare(): Promise<void> {
    const database = this.#cluster.maintenance;
    await database.transaction(async () => {
      // Two lanes may come here at the same time; CREATE … IF NOT EXISTS alone races on the catalog.
      await database.run(sql`select pg_advisory_xact_lock(hashtext('pgconvoy ledger'))`);
      // Asked of the table, which takes a lock: only that makes a session notice what others have committed meanwhile.
      const { found } = await database.one(
        Found,
        sql`select exists (select from pg_namespace where nspname = ${SCHEMA}) as found`,
      );
      if (!found) await database.run(sql`create schema ${id(SCHEMA)}`);
      // Some notes are secrets (the replication role's password), so nobody else may read them.
      await database.run(sql`revoke all on schema ${id(SCHEMA)} from public`);
      await database.run(ledgerTable());
    });
  }
}

const isUndefinedTable = (error: unknown): boolean => error instanceof DatabaseError && error.sqlstate === '42P01';
