import * as z from 'zod';
import type { BoundCluster, Cluster } from './cluster.ts';
import { DatabaseError } from './errors.ts';
import { id, sql } from './sql.ts';
import type { Sql } from './sql.ts';

const SCHEMA = 'pgconvoy';

/** Clusters whose ledger this process has seen: inside a write outage each round trip counts. */
const seen = new WeakSet<Cluster>();

export const LedgerEntry = z.object({
  kind: z.string(),
  /** The database the change is in; '' for changes of the cluster itself. */
  database: z.string(),
  /** The object, by its qualified name; '' where the kind says it all. */
  object: z.string(),
  before: z.unknown(),
  at: z.string(),
});
export type LedgerEntry = z.output<typeof LedgerEntry>;

export interface LedgerKey {
  readonly kind: string;
  readonly database?: string;
  readonly object?: string;
}

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
    await this.#write(
      sql`insert into ${id(SCHEMA, 'ledger')} (kind, database, object, before)
          values (${key.kind}, ${key.database ?? ''}, ${key.object ?? ''}, ${JSON.stringify(before ?? null)}::jsonb)
          on conflict (kind, database, object) do nothing`,
    );
  }

  /** Replaces a note; for what is a state of ours (a deadline, a secret), not the original of something. */
  async replace(key: LedgerKey, before: unknown): Promise<void> {
    await this.#write(
      sql`insert into ${id(SCHEMA, 'ledger')} (kind, database, object, before)
          values (${key.kind}, ${key.database ?? ''}, ${key.object ?? ''}, ${JSON.stringify(before ?? null)}::jsonb)
          on conflict (kind, database, object) do update set before = excluded.before, at = clock_timestamp()`,
    );
  }

  /** All notes, or those of one kind and database. Oldest first. */
  async entries(kind?: string, database?: string): Promise<LedgerEntry[]> {
    const read = () =>
      this.#cluster.maintenance.many(
        LedgerEntry,
        sql`select kind, database, object, before, at::text from ${id(SCHEMA, 'ledger')}
             where (${kind ?? null}::text is null or kind = ${kind ?? null})
               and (${database ?? null}::text is null or database = ${database ?? null})
             order by at, kind, database, object`,
      );
    return (await this.#ifThere(read)) ?? [];
  }

  async find(key: LedgerKey): Promise<LedgerEntry | undefined> {
    const entries = await this.entries(key.kind, key.database ?? '');
    return entries.find((entry) => entry.object === (key.object ?? ''));
  }

  /** The change is taken back, or belongs to the operator now. */
  async forget(key: LedgerKey): Promise<void> {
    const remove = () =>
      this.#cluster.maintenance.run(
        sql`delete from ${id(SCHEMA, 'ledger')}
             where kind = ${key.kind} and database = ${key.database ?? ''} and object = ${key.object ?? ''}`,
      );
    await this.#ifThere(remove);
  }

  async exists(): Promise<boolean> {
    const { found } = await this.#cluster.maintenance.one(
      z.object({ found: z.boolean() }),
      sql`select to_regclass(${`${SCHEMA}.ledger`}) is not null as found`,
    );
    return found;
  }

  /** Removes the ledger itself; the last thing uninstall does. */
  async drop(): Promise<void> {
    await this.#cluster.maintenance.run(sql`drop schema if exists ${id(SCHEMA)} cascade`);
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
      await database.run(sql`create schema if not exists ${id(SCHEMA)}`);
      // Some notes are secrets (the replication role's password), so nobody else may read them.
      await database.run(sql`revoke all on schema ${id(SCHEMA)} from public`);
      await database.run(
        sql`create table if not exists ${id(SCHEMA, 'ledger')} (
              kind text not null, database text not null, object text not null,
              before jsonb not null, at timestamptz not null default clock_timestamp(),
              primary key (kind, database, object))`,
      );
    });
  }
}

const isUndefinedTable = (error: unknown): boolean => error instanceof DatabaseError && error.sqlstate === '42P01';
