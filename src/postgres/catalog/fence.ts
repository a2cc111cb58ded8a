import * as z from 'zod';
import { fragment, since, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';
import { isClient } from './sessions.ts';

export const FenceState = z.object({
  /** As text; null: nobody has granted or revoked anything. */
  acl: z.string().nullable(),
  connectionLimit: z.number(),
  /** What ALTER DATABASE … SET default_transaction_read_only says; null: nothing. */
  readOnly: z.string().nullable(),
  /** Who may connect by a privilege of their own; null stands for everybody. */
  connectors: z.array(z.string().nullable()),
  /** Sessions of others that are not superusers. */
  sessions: z.number(),
  now: z.string(),
});
export type FenceState = z.output<typeof FenceState>;

/** Sessions of clients (alias a) in a database (alias d) that are not ours. */
const FOREIGN = sql`a.datid = d.oid and ${isClient}
                and not (a.usename = session_user and a.application_name like 'pgconvoy%')`;

/** Who can get into a database and who is in it, by the catalog; no row where there is no such database. */
export const fenceState = (name: string): Sql => sql`
  select d.datacl::text as acl, d.datconnlimit as "connectionLimit",
         (select substring(c.setting from '=(.*)') from pg_db_role_setting s, unnest(s.setconfig) as c (setting)
           where s.setdatabase = d.oid and s.setrole = 0 and c.setting like 'default\\_transaction\\_read\\_only=%') as "readOnly",
         coalesce((select json_agg(distinct g.rolname)
                     from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) p left join pg_roles g on g.oid = p.grantee
                    where p.privilege_type = 'CONNECT' and (p.grantee = 0 or g.oid is not null)), '[]') as connectors,
         (select count(*) from pg_stat_activity a join pg_roles u on u.oid = a.usesysid
           where ${FOREIGN} and not u.rolsuper)::int as sessions,
         clock_timestamp()::text as now
    from pg_database d
   where d.datname = ${name}`;

export const SessionStarts = z.object({ count: z.number() });

/**
 * How many sessions are just being started in a database: they may have been let in already, but are not in pg_stat_activity yet.
 * Each holds a lock on the database from before its privilege is looked at until after it is listed.
 * @see https://www.postgresql.org/docs/current/view-pg-locks.html
 */
export const sessionStarts = (name: string): Sql => sql`
  select count(*)::int as count
    from pg_locks l join pg_database d on l.objid = d.oid
   where l.locktype = 'object' and l.classid = 'pg_database'::regclass and l.mode = 'RowExclusiveLock' and d.datname = ${name}`;

export const EndedSession = z.object({
  pid: z.number(),
  user: z.string(),
  application: z.string(),
  client: z.string(),
  superuser: z.boolean(),
  /** False: we were not allowed to end it. */
  ended: z.boolean(),
});
export type EndedSession = z.output<typeof EndedSession>;

/**
 * Ends the sessions of all others in a database and lists them: while any is listed, it may still be there.
 * @see https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-SIGNAL
 */
export const endSessions = (name: string): Sql => sql`
  select a.pid, coalesce(a.usename, '')::text as "user", coalesce(a.application_name, '') as application,
         coalesce(host(a.client_addr), 'local') as client, coalesce(u.rolsuper, false) as superuser,
         pg_terminate_backend(a.pid) as ended
    from pg_database d join pg_stat_activity a on ${FOREIGN} left join pg_roles u on u.oid = a.usesysid
   where d.datname = ${name}
   order by a.pid`;

export const RemainingWriter = z.object({
  kind: z.enum(['transaction', 'prepared', 'subscription']),
  /** "pid 4711 (…)", the name of the prepared transaction, or of the subscription. */
  name: z.string(),
});
export type RemainingWriter = z.output<typeof RemainingWriter>;

/**
 * What else can still change rows of a database: write transactions of background processes (autovacuum writes no rows of users),
 * prepared transactions, and enabled subscriptions to somebody else.
 */
export const remainingWriters = (name: string): Sql => sql`
  select 'transaction' as kind,
         format('pid %s (%s)', a.pid, ${since('backendType', fragment`a.backend_type`, fragment`'background worker'`)}) as name
    from pg_stat_activity a
   where a.datname = ${name} and a.backend_xid is not null
     and ${since(
       'backendType',
       fragment`a.backend_type not in ('client backend', 'walsender', 'autovacuum worker')`,
       fragment`a.client_port is null and a.query not like 'autovacuum: %'`,
     )}
  union all
  select 'prepared', gid from pg_prepared_xacts where database = ${name}
  ${since(
    'publications',
    sql`union all
        select 'subscription', s.subname
          from pg_subscription s join pg_database d on d.oid = s.subdbid
         where d.datname = ${name} and s.subenabled`,
    sql``,
  )}
   order by 1, 2`;

/**
 * A marker behind the last commit, flushed when this returns; it also gives an idle source something to send. Before 9.6 there are
 * no such messages: the position behind everything that was ever inserted, which the next commit (the ledger's) flushes.
 * @see https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-REPLICATION
 */
export const walMarker = (): Sql => sql`
  -- A synchronous standby that is away must not hold up the marker: "local" waits for our own disk.
  select set_config('synchronous_commit', 'local', true),
         ${since(
           'logicalMessages',
           fragment`pg_logical_emit_message(true, 'pgconvoy', 'fence')`,
           fragment`pg_current_xlog_insert_location()`,
         )}::text as lsn`;
