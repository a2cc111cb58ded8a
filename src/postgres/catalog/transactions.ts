import * as z from 'zod';
import { lit, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

export const WriteTransaction = z.object({
  /** Null for a prepared transaction: no session holds it. */
  pid: z.number().nullable(),
  user: z.string(),
  database: z.string(),
  application: z.string(),
  /** The name of a prepared transaction. */
  gid: z.string().nullable(),
  ageSeconds: z.coerce.number(),
});
export type WriteTransaction = z.output<typeof WriteTransaction>;

/**
 * Every transaction of the cluster that has written and not ended, prepared ones too; oldest first. Not our own.
 * @see https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW
 * @see https://www.postgresql.org/docs/current/view-pg-prepared-xacts.html
 */
export const writeTransactions = (): Sql => sql`
  select pid, coalesce(usename, '')::text as "user", coalesce(datname, '')::text as database,
         coalesce(application_name, '') as application, null as gid,
         extract(epoch from clock_timestamp() - xact_start)::float8 as "ageSeconds"
    from pg_stat_activity
   where backend_xid is not null and xact_start is not null and pid <> pg_backend_pid()
  union all
  select null, owner::text, database::text, '', gid, extract(epoch from clock_timestamp() - prepared)::float8
    from pg_prepared_xacts
   order by "ageSeconds" desc`;

/**
 * Every transaction that is open in this database, prepared ones too; oldest first. Not our own. An index that is built concurrently waits
 * for them.
 * @see https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
 */
export const openTransactions = (): Sql => sql`
  select pid, coalesce(usename, '')::text as "user", datname::text as database,
         coalesce(application_name, '') as application, null as gid,
         extract(epoch from clock_timestamp() - xact_start)::float8 as "ageSeconds"
    from pg_stat_activity
   where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()
  union all
  select null, owner::text, database::text, '', gid, extract(epoch from clock_timestamp() - prepared)::float8
    from pg_prepared_xacts
   where database = current_database()
   order by "ageSeconds" desc`;

/** The statement that ends it, to be given where it is. */
export const endingOf = ({ pid, gid }: Pick<WriteTransaction, 'pid' | 'gid'>): string =>
  pid === null ? `ROLLBACK PREPARED ${lit(gid ?? '').text.trim()};` : `SELECT pg_terminate_backend(${pid});`;

/** "pid 4711 (app in "shop", 312 s)" or "prepared transaction "x" (…)". */
export function describeTransaction(transaction: WriteTransaction): string {
  const who = transaction.pid === null ? `prepared transaction "${transaction.gid}"` : `pid ${transaction.pid}`;
  const application = transaction.application === '' ? '' : `, ${transaction.application}`;
  return `${who} (user "${transaction.user}" in database "${transaction.database}"${application}, since ${Math.round(transaction.ageSeconds)} s)`;
}
