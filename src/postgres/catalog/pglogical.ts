import * as z from 'zod';
import { fragment, since, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';
import { NOT_USERS } from './schemas.ts';

/** Tables of users (alias c, schema n) that hold rows which replication carries. */
const CARRIED = fragment`c.relkind = 'r' and c.relpersistence = 'p' and n.nspname not in (${NOT_USERS})
     and not exists (select from pg_depend d
                      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')`;

/** What tells a worker of pglogical from others; before 10 it is its application's name. */
const workerName = since('backendType', fragment`a.backend_type`, fragment`a.application_name`);

export const Count = z.object({ count: z.number() });

/**
 * How many of pglogical's background workers run for these databases, with the one that looks after all.
 * @see https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW
 */
export const pglogicalWorkers = (databases: readonly string[]): Sql => sql`
  select count(*)::int as count from pg_stat_activity a
   where ${workerName} like 'pglogical %'
     and (datname is null or datname = any (${[...databases]}::text[]))`;

export const PglogicalServer = z.object({
  /** What CREATE EXTENSION would make; null: its files are not there. */
  version: z.string().nullable(),
  preloaded: z.boolean(),
  libraries: z.string(),
});
export type PglogicalServer = z.output<typeof PglogicalServer>;

/** Whether this server has pglogical, and loads it at its start. */
export const pglogicalServer = (): Sql => sql`
  select (select default_version from pg_available_extensions where name = 'pglogical') as version,
         -- What is loaded has its settings listed.
         exists (select from pg_settings where name = 'pglogical.batch_inserts') as preloaded,
         (select setting from pg_settings where name = 'shared_preload_libraries') as libraries`;

export const TableColumns = z.object({ schema: z.string(), name: z.string(), columns: z.array(z.string()) });
export type TableColumns = z.output<typeof TableColumns>;

/** Tables that carry rows and have generated columns, with their names; none before 12. */
export const generatedColumns = (): Sql =>
  since(
    'generatedColumns',
    sql`select n.nspname::text as schema, c.relname::text as name, array_agg(a.attname::text order by a.attnum) as columns
          from pg_attribute a
          join pg_class c on c.oid = a.attrelid
          join pg_namespace n on n.oid = c.relnamespace
         where a.attgenerated <> '' and not a.attisdropped and ${CARRIED}
         group by 1, 2
         order by 1, 2`,
    sql`select ''::text as schema, ''::text as name, array[]::text[] as columns where false`,
  );

export const TableIndex = z.object({ schema: z.string(), name: z.string(), index: z.string() });
export type TableIndex = z.output<typeof TableIndex>;

/** Unique constraints, and primary keys, that are looked at only at the end of a transaction. */
export const deferrableKeys = (): Sql => sql`
  select n.nspname::text as schema, c.relname::text as name, x.relname::text as index
    from pg_index i
    join pg_class x on x.oid = i.indexrelid
    join pg_class c on c.oid = i.indrelid
    join pg_namespace n on n.oid = c.relnamespace
   where i.indisunique and not i.indimmediate and ${CARRIED}
   order by 1, 2, 3`;

/** How many foreign keys lead from one table that carries rows to another. */
export const foreignKeys = (): Sql => sql`
  select count(*)::int as count
    from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
   where k.contype = 'f' and k.confrelid <> k.conrelid and ${CARRIED}`;

export const TargetDatabases = z.object({
  database: z.string(),
  /** A worker of pglogical applies what comes. */
  applying: z.boolean(),
  /** What sessions that copy tables call themselves. */
  copies: z.array(z.string()),
  /** Replication origins of ours, of all databases; in the first row alone. */
  origins: z.array(z.string()),
});

/** Every database of a target that takes connections, with what tells of subscriptions without looking into it. */
export const targetDatabases = (): Sql => sql`
  select d.datname::text as database,
         exists (select from pg_stat_activity a where a.datid = d.oid and ${workerName} like 'pglogical apply %') as applying,
         array(select a.application_name from pg_stat_activity a
                where a.datid = d.oid and a.application_name like 'pgconvoy\\_%\\_copy') as copies,
         case when row_number() over () = 1
              then array(select roname::text from pg_replication_origin where roname like 'pgconvoy\\_%')
              else array[]::text[] end as origins
    from pg_database d
   where d.datallowconn and d.datconnlimit <> -2`;
