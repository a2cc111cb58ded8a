import * as z from 'zod';
import { fragment, since, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';
import { isClient } from './sessions.ts';

/** A process that works in a database; its name is like `pid 4711 (psql)`. */
const Process = z.object({ user: z.string(), name: z.string() });

export const FenceState = z.object({
  owner: z.string(),
  /** Who we are. */
  self: z.string(),
  /** As text; what the owner has by default is spelled out. */
  acl: z.string(),
  connectionLimit: z.number(),
  /** What ALTER DATABASE … SET default_transaction_read_only says; null: nothing. */
  readOnly: z.string().nullable(),
  /** Whom CONNECT was granted to; null stands for everybody. */
  grantees: z.array(z.string().nullable()),
  /** Who may connect by that: roles that can log in, no superusers, members of grantees too; null stands for everybody. */
  connectors: z.array(z.string().nullable()),
  /** Who of these would be left if only those that are asked for had it. */
  staying: z.array(z.string()),
  /** Superusers that can log in: no privilege keeps them out. */
  superusers: z.array(z.string()),
  /** Whose sessions are in the database; not ours, nor those of superusers. */
  sessions: z.array(z.string()),
  /** What has written something there, in a transaction that has not ended: superusers too, but nothing of ours. */
  writing: z.array(Process),
  /** Another one after every change of owner, privileges, limit or name. */
  version: z.string(),
  now: z.string(),
});
export type FenceState = z.output<typeof FenceState>;

const isOurs = fragment`(a.usename = session_user and a.application_name like 'pgconvoy%')`;

/**
 * A process (alias a, its role alias u) that takes statements: WAL senders of a database do, too (10 and later). Those of superusers are
 * left alone: they replicate.
 */
const takesStatements = fragment`(${isClient} ${since(
  'backendType',
  fragment`or a.backend_type = 'walsender' and not coalesce(u.rolsuper, false)`,
  fragment``,
)})`;

const isAutovacuum = since(
  'backendType',
  fragment`(a.backend_type = 'autovacuum worker')`,
  fragment`(a.client_port is null and a.query like 'autovacuum: %')`,
);

const backendType = since('backendType', fragment`a.backend_type`, fragment`'background worker'::text`);

/**
 * Who can get into a database and who is in it, by the catalog; no row where there is no such database.
 * @param stay roles that keep CONNECT although the fence stands
 */
export const fenceState = (name: string, stay: readonly string[] = []): Sql => sql`
  with recursive
  grantee (id) as (
    select p.grantee from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) p
     where d.datname = ${name} and p.privilege_type = 'CONNECT'),
  connector (id) as (
    select id from grantee union select m.member from pg_auth_members m join connector c on c.id = m.roleid),
  staying (id) as (
    select oid from pg_roles where rolname = any (${stay}::text[])
    union select m.member from pg_auth_members m join staying s on s.id = m.roleid)
  select pg_get_userbyid(d.datdba) as owner, session_user::text as self,
         coalesce(d.datacl, acldefault('d', d.datdba))::text as acl, d.datconnlimit as "connectionLimit",
         (select substring(c.setting from '=(.*)') from pg_db_role_setting s, unnest(s.setconfig) as c (setting)
           where s.setdatabase = d.oid and s.setrole = 0 and c.setting like 'default\\_transaction\\_read\\_only=%') as "readOnly",
         coalesce((select json_agg(distinct g.rolname) from grantee left join pg_roles g on g.oid = id
                    where id = 0 or g.oid is not null), '[]') as grantees,
         coalesce((select json_agg(distinct g.rolname) from connector left join pg_roles g on g.oid = id
                    where id = 0 or g.rolcanlogin and not g.rolsuper), '[]') as connectors,
         coalesce((select json_agg(g.rolname order by g.rolname) from staying join pg_roles g on g.oid = id
                    where g.rolcanlogin and not g.rolsuper), '[]') as staying,
         coalesce((select json_agg(rolname order by rolname) from pg_roles where rolsuper and rolcanlogin), '[]') as superusers,
         coalesce((select json_agg(distinct a.usename) from pg_stat_activity a join pg_roles u on u.oid = a.usesysid
                    where a.datid = d.oid and ${takesStatements} and not u.rolsuper and not ${isOurs}), '[]') as sessions,
         coalesce((select json_agg(json_build_object('user', coalesce(a.usename, ''), 'name',
                             format('pid %s (%s)', a.pid, coalesce(nullif(a.application_name, ''), ${backendType}))))
                     from pg_stat_activity a
                    where a.datid = d.oid and a.backend_xid is not null and not ${isAutovacuum}
                      and ${backendType} !~ '^(logical replication|pglogical)'
                      and not coalesce(${isOurs}, false)), '[]') as writing,
         d.xmin::text as version, clock_timestamp()::text as now
    from pg_database d
   where d.datname = ${name}`;

/** As in the fence's state, of the current database. */
export const entryVersion = (): Sql => sql`
  select xmin::text as version from pg_database where datname = current_database()`;

export const SessionStart = z.object({ pid: z.number() });

/**
 * Sessions that are just being started in a database: they may have been let in already, but are not in pg_stat_activity yet. Each
 * holds a lock on the database from before its privilege is looked at until after it is listed.
 * @see https://www.postgresql.org/docs/current/view-pg-locks.html
 */
export const sessionStarts = (name: string): Sql => sql`
  select l.pid
    from pg_locks l join pg_database d on l.objid = d.oid
   where l.locktype = 'object' and l.classid = 'pg_database'::regclass and l.mode = 'RowExclusiveLock'
     and l.pid is not null and d.datname = ${name}`;

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
 * Ends the sessions of all others in the current database and lists them: while any is listed, it may still be there.
 * @param stay roles that cannot write: their sessions stay, unless one holds a lock for writing a table, from when its role still could
 * @param replication our replication role
 * @see https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-SIGNAL
 */
export const endSessions = (stay: readonly string[], replication: string): Sql => sql`
  select a.pid, coalesce(a.usename, '')::text as "user", coalesce(a.application_name, '') as application,
         coalesce(host(a.client_addr), 'local') as client, coalesce(u.rolsuper, false) as superuser,
         pg_terminate_backend(a.pid) as ended
    from pg_stat_activity a left join pg_roles u on u.oid = a.usesysid
   where a.datname = current_database() and ${takesStatements} and not coalesce(${isOurs}, false)
     and a.usename is distinct from ${replication}
     and (not coalesce(a.usename = any (${stay}::text[]), false)
          or exists (select from pg_locks l join pg_class c on c.oid = l.relation
                      where l.pid = a.pid and l.locktype = 'relation' and l.mode not in ('AccessShareLock', 'RowShareLock')
                        and (c.oid >= 16384 or c.relname like 'pg\\_largeobject%') and c.relpersistence <> 't'))
   order by a.pid`;

export const RemainingWriter = z.object({
  kind: z.enum(['transaction', 'prepared', 'subscription', 'worker']),
  /** "pid 4711 (…)", the name of the prepared transaction, or of the subscription. */
  name: z.string(),
});
export type RemainingWriter = z.output<typeof RemainingWriter>;

/**
 * What else can still change rows of a database: write transactions of background processes (autovacuum writes no rows of users),
 * prepared transactions, and subscriptions to somebody else that are enabled. And background workers of extensions: they may.
 */
export const remainingWriters = (name: string): Sql => sql`
  select 'transaction' as kind, format('pid %s (%s)', a.pid, ${backendType}) as name
    from pg_stat_activity a
   where a.datname = ${name} and a.backend_xid is not null and not ${isAutovacuum}
     and ${since(
       'backendType',
       fragment`a.backend_type not in ('client backend', 'walsender')`,
       fragment`a.client_port is null`,
     )}
  union all
  select 'prepared', gid from pg_prepared_xacts where database = ${name}
  ${since(
    'publications',
    sql`union all
        select 'subscription', s.subname
          from pg_subscription s join pg_database d on d.oid = s.subdbid
         where d.datname = ${name} and s.subenabled
        union all
        select 'worker', a.backend_type
          from pg_stat_activity a
         where a.datname = ${name}
           and a.backend_type not in ('client backend', 'walsender', 'autovacuum worker', 'parallel worker', 'slotsync worker')
           and a.backend_type !~ '^(logical replication|pglogical (manager|supervisor))'`,
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
