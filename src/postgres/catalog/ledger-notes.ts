import * as z from 'zod';
import { id, since, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

export const SCHEMA = 'pgconvoy';
const LEDGER = id(SCHEMA, 'ledger');

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

const isNote = ({ kind, database = '', object = '' }: LedgerKey): Sql =>
  sql`kind = ${kind} and database = ${database} and object = ${object}`;

const values = ({ kind, database = '', object = '' }: LedgerKey, before: unknown): Sql =>
  sql`${kind}::text, ${database}::text, ${object}::text, ${JSON.stringify(before ?? null)}::jsonb`;

/**
 * Adds a note where there is none of this key. Before 9.5 two at once would collide; the lock of the database keeps them apart.
 * @see https://www.postgresql.org/docs/current/sql-insert.html#SQL-ON-CONFLICT
 */
export const recordNote = (key: LedgerKey, before: unknown): Sql =>
  sql`insert into ${LEDGER} (kind, database, object, before) select ${values(key, before)}
      ${since(
        'onConflict',
        sql`on conflict (kind, database, object) do nothing`,
        sql`where not exists (select from ${LEDGER} where ${isNote(key)})`,
      )}`.kept();

/** Adds a note, or puts it in the place of the one that is there. */
export const replaceNote = (key: LedgerKey, before: unknown): Sql =>
  since(
    'onConflict',
    sql`insert into ${LEDGER} (kind, database, object, before) select ${values(key, before)}
        on conflict (kind, database, object) do update set before = excluded.before, at = clock_timestamp()`,
    sql`with known as (
          update ${LEDGER} set before = ${JSON.stringify(before ?? null)}::jsonb, at = clock_timestamp()
           where ${isNote(key)} returning kind)
        insert into ${LEDGER} (kind, database, object, before)
        select ${values(key, before)} where not exists (select from known)`,
  ).kept();

/** Adds or replaces notes of one kind, each under its database: in one statement, for what concerns many databases at the same time. */
export const replaceNotes = (kind: string, before: ReadonlyMap<string, unknown>): Sql => {
  const texts = [...before.values()].map((each) => JSON.stringify(each ?? null));
  const given = sql`select ${kind}::text as kind, u.database, u.before::jsonb as before
                      from unnest(${[...before.keys()]}::text[], ${texts}::text[]) u (database, before)`;
  return since(
    'onConflict',
    sql`insert into ${LEDGER} (kind, database, object, before) select kind, database, '', before from (${given}) g
        on conflict (kind, database, object) do update set before = excluded.before, at = clock_timestamp()`,
    sql`with given as (${given}),
        known as (
          update ${LEDGER} l set before = g.before, at = clock_timestamp() from given g
           where l.kind = g.kind and l.database = g.database and l.object = '' returning l.database)
        insert into ${LEDGER} (kind, database, object, before)
        select kind, database, '', before from given where database not in (select database from known)`,
  );
};

/** All notes, or those of one kind and database. Oldest first. */
export const notes = (kind?: string, database?: string): Sql =>
  sql`
  select kind, database, object, before, at::text from ${LEDGER}
   where (${kind ?? null}::text is null or kind = ${kind ?? null})
     and (${database ?? null}::text is null or database = ${database ?? null})
   order by at, kind, database, object`.kept();

/** All notes of these databases, of any kind or of some. Oldest first. */
export const notesOn = (databases: readonly string[], kinds?: readonly string[]): Sql =>
  sql`
  select kind, database, object, before, at::text from ${LEDGER}
   where database = any (${databases}::text[])
     and (${kinds ?? null}::text[] is null or kind = any (${kinds ?? null}::text[]))
   order by at, kind, database, object`.kept();

/** The notes of a kind, in the order of their databases; nobody else changes them before the transaction ends. */
export const lockedNotes = (kind: string, databases: readonly string[]): Sql => sql`
  select kind, database, object, before, at::text from ${LEDGER}
   where kind = ${kind} and database = any (${databases}::text[])
   order by database, object for update`;

/** The note of this key; nobody else changes it before the transaction ends. */
export const lockedNote = (key: LedgerKey): Sql =>
  sql`
  select kind, database, object, before, at::text from ${LEDGER} where ${isNote(key)} for update`.kept();

export const forgetNote = (key: LedgerKey): Sql => sql`delete from ${LEDGER} where ${isNote(key)}`.kept();

/** Of a kind, whatever object they name. */
export const forgetNotes = (kind: string, databases: readonly string[]): Sql => sql`
  delete from ${LEDGER} where kind = ${kind} and database = any (${databases}::text[])`;

export const Found = z.object({ found: z.boolean() });

/** Whether this database has a ledger. */
export const ledgerExists = (): Sql =>
  sql`
  select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                  where n.nspname = ${SCHEMA} and c.relname = 'ledger') as found`.kept();

export const ledgerTable = (): Sql => sql`
  create table if not exists ${LEDGER} (
    kind text not null, database text not null, object text not null,
    before jsonb not null, at timestamptz not null default clock_timestamp(),
    primary key (kind, database, object))`;
