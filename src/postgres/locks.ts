import * as z from 'zod';
import type { Database } from './database.ts';
import { sql } from './sql.ts';

/** Which lock modes stand in the way of one. @see https://www.postgresql.org/docs/current/explicit-locking.html#TABLE-LOCK-COMPATIBILITY */
const CONFLICTS = {
  AccessShareLock: ['AccessExclusiveLock'],
  RowExclusiveLock: ['ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'],
  ShareUpdateExclusiveLock: [
    'ShareUpdateExclusiveLock',
    'ShareLock',
    'ShareRowExclusiveLock',
    'ExclusiveLock',
    'AccessExclusiveLock',
  ],
  ShareRowExclusiveLock: [
    'RowExclusiveLock',
    'ShareUpdateExclusiveLock',
    'ShareLock',
    'ShareRowExclusiveLock',
    'ExclusiveLock',
    'AccessExclusiveLock',
  ],
  AccessExclusiveLock: [
    'AccessShareLock',
    'RowShareLock',
    'RowExclusiveLock',
    'ShareUpdateExclusiveLock',
    'ShareLock',
    'ShareRowExclusiveLock',
    'ExclusiveLock',
    'AccessExclusiveLock',
  ],
} as const;

/** A mode that somebody may want and not get. */
export type LockMode = keyof typeof CONFLICTS;

export const LockHolder = z.object({
  schema: z.string(),
  table: z.string(),
  mode: z.string(),
  /** Null for a prepared transaction. */
  pid: z.number().nullable(),
  user: z.string(),
  application: z.string(),
  seconds: z.number(),
});
export type LockHolder = z.output<typeof LockHolder>;

/**
 * Who holds a lock on one of these tables that stands in the way of `wanted`, oldest transaction first; not our own session.
 * @see https://www.postgresql.org/docs/current/view-pg-locks.html
 */
export function lockHolders(
  database: Database,
  tables: readonly { readonly schema: string; readonly name: string }[],
  wanted: LockMode,
): Promise<LockHolder[]> {
  return database.many(
    LockHolder,
    sql`select n.nspname as schema, c.relname as "table", l.mode, l.pid,
               coalesce(a.usename, '')::text as user, coalesce(a.application_name, '') as application,
               coalesce(extract(epoch from clock_timestamp() - a.xact_start), 0)::float8 as seconds
          from unnest(${tables.map((table) => table.schema)}::text[], ${tables.map((table) => table.name)}::text[]) as t (schema, name)
          join pg_namespace n on n.nspname = t.schema
          join pg_class c on c.relnamespace = n.oid and c.relname = t.name
          join pg_locks l on l.relation = c.oid and l.locktype = 'relation' and l.granted
                         and l.database = (select oid from pg_database where datname = current_database())
          left join pg_stat_activity a on a.pid = l.pid
         where l.mode = any (${[...CONFLICTS[wanted]]}::text[]) and l.pid is distinct from pg_backend_pid()
         order by seconds desc, l.pid`,
  );
}

/** `pid 4711 (user "app", psql, for 12 s) holds AccessExclusiveLock on "public"."t"`. */
export function describeLockHolder(holder: LockHolder): string {
  const who = holder.pid === null ? 'a prepared transaction' : `pid ${holder.pid}`;
  const application = holder.application === '' ? '' : `, ${holder.application}`;
  return `${who} (user "${holder.user}"${application}, for ${Math.round(holder.seconds)} s) holds ${holder.mode} on ${holder.schema}.${holder.table}`;
}

const Blocker = z.object({
  /** 0 for a prepared transaction. */
  pid: z.number(),
  user: z.string(),
  application: z.string(),
  seconds: z.number(),
});
export type Blocker = z.output<typeof Blocker>;

/**
 * Whom a session waits for right now; ask from another one.
 * @see https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SESSION
 */
export const blockersOf = (database: Database, pid: number): Promise<Blocker[]> =>
  database.many(
    Blocker,
    sql`select b.pid, coalesce(a.usename, '')::text as user, coalesce(a.application_name, '') as application,
               coalesce(extract(epoch from clock_timestamp() - a.xact_start), 0)::float8 as seconds
          from unnest(pg_blocking_pids(${pid}::int)) as b (pid)
          left join pg_stat_activity a on a.pid = b.pid
         order by seconds desc, b.pid`,
  );

/** `pid 4711 (user "app", psql, for 12 s)`. */
export function describeBlocker({ pid, user, application, seconds }: Blocker): string {
  if (pid === 0) return 'a prepared transaction';
  return `pid ${pid} (user "${user}"${application === '' ? '' : `, ${application}`}, for ${Math.round(seconds)} s)`;
}
