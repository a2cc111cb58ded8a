import * as z from 'zod';
import { fragment, since, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';
import { NOT_USERS } from './schemas.ts';

export const UserTable = z.object({
  oid: z.coerce.number(),
  schema: z.string(),
  name: z.string(),
  /** r: table (also a leaf partition), p: partitioned root or branch, which holds no rows itself. */
  kind: z.enum(['r', 'p']),
  /** p: permanent, u: unlogged, which no replication carries. */
  persistence: z.enum(['p', 'u']),
  isPartition: z.boolean(),
  /** d: primary key, i: a chosen unique index, f: the whole row, n: nothing. */
  identity: z.enum(['d', 'i', 'f', 'n']),
  /** The index that identifies rows for UPDATE and DELETE, or null: then both fail as soon as the table is published. */
  identityIndex: z.string().nullable(),
  /** Heap and TOAST, without indexes. */
  bytes: z.coerce.number(),
  /** Estimated by the last ANALYZE; 0 where there was none. */
  rows: z.coerce.number(),
});
export type UserTable = z.output<typeof UserTable>;

/**
 * Size of a table (alias c of pg_class) without its indexes, bytes. pg_table_size waits behind an AccessExclusiveLock, which
 * would make whoever only looks hang: of such tables the last VACUUM's estimate is told.
 */
export const tableBytes = (): Sql => sql`
  (case when c.oid in (select relation from pg_locks
                        where locktype = 'relation' and mode = 'AccessExclusiveLock'
                          and database = (select oid from pg_database where datname = current_database()))
        then c.relpages::float8 * current_setting('block_size')::int
        else coalesce(pg_table_size(c.oid), 0)::float8 end)`;

/**
 * Every table of users: not the system's, not an extension's, not temporary, not ours. By schema and name. Waits for no lock
 * (pg_get_replica_identity_index would; what it answers is asked of the catalog).
 * @see https://www.postgresql.org/docs/current/catalog-pg-class.html
 */
export const userTables = (): Sql =>
  tablesWith(sql`,
         case c.relkind when 'p' then 0 else ${tableBytes()} end as bytes,
         greatest(c.reltuples, 0)::float8 as rows`);

/**
 * The same tables for whoever looks at their identities: with the size of those alone whose size is asked for then, because no index
 * identifies their rows or replication does not carry them. Sizes cost as much as everything else.
 */
export const identifiedTables = (): Sql =>
  tablesWith(sql`,
         case when c.relkind = 'p' or (ic.relname is not null and c.relpersistence = 'p') then 0 else ${tableBytes()} end as bytes,
         greatest(c.reltuples, 0)::float8 as rows`);

export const NamedTable = UserTable.omit({ bytes: true, rows: true });
export type NamedTable = z.output<typeof NamedTable>;

/** The same tables without their sizes. */
export const namedTables = (): Sql => tablesWith(sql``);

const tablesWith = (more: Sql): Sql => sql`
  select c.oid::text, n.nspname as schema, c.relname as name, c.relkind::text as kind, c.relpersistence::text as persistence,
         ${since('publications', fragment`c.relispartition`, fragment`false`)} as "isPartition", c.relreplident::text as identity,
         ic.relname as "identityIndex"${more}
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    left join pg_index i on i.indrelid = c.oid and i.indisvalid and i.indisunique and i.indimmediate and i.indpred is null
                        and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident end
    left join pg_class ic on ic.oid = i.indexrelid
   where c.relkind in ('r', 'p')
     and c.relpersistence in ('p', 'u')
     and n.nspname not in (${NOT_USERS})
     and not exists (select from pg_depend d
                      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
   order by n.nspname, c.relname`;

/** The tables that carry rows and can be published: permanent ones, leaves instead of partitioned roots. */
export const isReplicated = (table: NamedTable): boolean => table.kind === 'r' && table.persistence === 'p';
