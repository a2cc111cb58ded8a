import * as z from 'zod';
import { fragment, since, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';
import { isClient } from './sessions.ts';

/** A process that works in a database; its name is like `pid 4711 (psql)`. */
const Process = z.object({ user: z.string(), name: z.string() });

export const FenceState = z.object({
  database: z.string(),
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
 * Who can get into these databases and who is in them, by the catalog; no row where there is no such database. Sessions are looked up
 * once for all of them: each look costs the server about as much as a hundred databases do.
 * @param stay roles that keep CONNECT although the fence stands
 */
export const fenceStates = (names: readonly string[], stay: readonly string[] = []): Sql =>
  sql`
  with recursive
  fenced as (
    select oid, datname, datdba, coalesce(datacl, acldefault('d', datdba)) as acl, datconnlimit, xmin::text as version
      from pg_database where datname = any (${names}::text[])),
  granted (database, id) as (
    select d.oid, p.grantee from fenced d, aclexplode(d.acl) p where p.privilege_type = 'CONNECT'),
  connector (database, id) as (
    select database, id from granted
    union select c.database, m.member from pg_auth_members m join connector c on c.id = m.roleid),
  remaining (id) as (
    select oid from pg_roles where rolname = any (${stay}::text[])
    union select m.member from pg_auth_members m join remaining s on s.id = m.roleid),
  grantees as (
    select database, json_agg(distinct g.rolname) as names
      from granted left join pg_roles g on g.oid = id where id = 0 or g.oid is not null group by 1),
  connectors as (
    select database, json_agg(distinct g.rolname) as names
      from connector left join pg_roles g on g.oid = id where id = 0 or g.rolcanlogin and not g.rolsuper group by 1),
  present as (
    select a.datid as database,
           json_agg(distinct a.usename) filter (where ${takesStatements} and not u.rolsuper and not ${isOurs}) as sessions,
           json_agg(json_build_object('user', coalesce(a.usename, ''), 'name',
                      format('pid %s (%s)', a.pid, coalesce(nullif(a.application_name, ''), ${backendType}))))
             filter (where a.backend_xid is not null and not ${isAutovacuum}
               and ${backendType} !~ '^(logical replication|pglogical)' and not coalesce(${isOurs}, false)) as writing
      from pg_stat_activity a left join pg_roles u on u.oid = a.usesysid
     where a.datname = any (${names}::text[])
     group by 1)
  select d.datname as database, pg_get_userbyid(d.datdba) as owner, session_user::text as self, d.acl::text as acl,
         d.datconnlimit as "connectionLimit",
         (select substring(c.setting from '=(.*)') from pg_db_role_setting s, unnest(s.setconfig) as c (setting)
           where s.setdatabase = d.oid and s.setrole = 0 and c.setting like 'default\\_transaction\\_read\\_only=%') as "readOnly",
         coalesce(g.names, '[]') as grantees, coalesce(c.names, '[]') as connectors,
         coalesce((select json_agg(r.rolname order by r.rolname) from remaining join pg_roles r on r.oid = id
                    where r.rolcanlogin and not r.rolsuper), '[]') as staying,
         coalesce((select json_agg(rolname order by rolname) from pg_roles where rolsuper and rolcanlogin), '[]') as superusers,
         coalesce(p.sessions, '[]') as sessions, coalesce(p.writing, '[]') as writing,
         d.version, clock_timestamp()::text as now
    from fenced d
    left join grantees g on g.database = d.oid
    left join connectors c on c.database = d.oid
    left join present p on p.database = d.oid
   order by 1`.kept();

export const EntryVersion = FenceState.pick({ database: true, version: true });

/** As in the fence's state. */
export const entryVersions = (names: readonly string[]): Sql => sql`
  select datname as database, xmin::text as version from pg_database where datname = any (${names}::text[])`;

export const SessionStart = z.object({ pid: z.number(), database: z.string() });

/**
 * Sessions that are just being started in these databases: they may have been let in already, but are not in pg_stat_activity yet. Each
 * holds a lock on the database from before its privilege is looked at until after it is listed.
 * @see https://www.postgresql.org/docs/current/view-pg-locks.html
 */
export const sessionStarts = (names: readonly string[]): Sql => sql`
  select l.pid, d.datname as database
    from pg_locks l join pg_database d on l.objid = d.oid
   where l.locktype = 'object' and l.classid = 'pg_database'::regclass and l.mode = 'RowExclusiveLock'
     and l.pid is not null and d.datname = any (${names}::text[])`;

export const EndedSession = z.object({
  database: z.string(),
  pid: z.number(),
  user: z.string(),
  application: z.string(),
  client: z.string(),
  superuser: z.boolean(),
  /** False: we were not allowed to end it. */
  ended: z.boolean(),
});
export type EndedSession = z.output<typeof EndedSession>;

const endedSession = fragment`
  a.datname as database, a.pid, coalesce(a.usename, '')::text as "user", coalesce(a.application_name, '') as application,
  coalesce(host(a.client_addr), 'local') as client, coalesce(u.rolsuper, false) as superuser,
  pg_terminate_backend(a.pid) as ended
    from pg_stat_activity a left join pg_roles u on u.oid = a.usesysid`;

const isOthers = (replication: string): Sql => sql`
  ${takesStatements} and not coalesce(${isOurs}, false) and a.usename is distinct from ${replication}`;

/**
 * Ends the sessions of all others in these databases and lists them: while any is listed, it may still be there.
 * @param replication our replication role
 * @see https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-SIGNAL
 */
export const endSessions = (names: readonly string[], replication: string): Sql => sql`
  select ${endedSession} where a.datname = any (${names}::text[]) and ${isOthers(replication)} order by a.pid`;

/**
 * The same in the current database, where the sessions of roles that cannot write stay, unless one holds a lock for writing a table,
 * from when its role still could.
 */
export const endSessionsBut = (stay: readonly string[], replication: string): Sql => sql`
  select ${endedSession}
   where a.datname = current_database() and ${isOthers(replication)}
     and (not coalesce(a.usename = any (${stay}::text[]), false)
          or exists (select from pg_locks l join pg_class c on c.oid = l.relation
                      where l.pid = a.pid and l.locktype = 'relation' and l.mode not in ('AccessShareLock', 'RowShareLock')
                        and (c.oid >= 16384 or c.relname like 'pg\\_largeobject%') and c.relpersistence <> 't'))
   order by a.pid`;

export const RemainingWriter = z.object({
  database: z.string(),
  kind: z.enum(['transaction', 'prepared', 'subscription', 'worker']),
  /** "pid 4711 (…)", the name of the prepared transaction, or of the subscription. */
  name: z.string(),
});
export type RemainingWriter = z.output<typeof RemainingWriter>;

/**
 * What else can still change rows of these databases: write transactions of background processes (autovacuum writes no rows of users),
 * prepared transactions, and subscriptions to somebody else that are enabled. And background workers of extensions: they may.
 */
export const remainingWriters = (names: readonly string[]): Sql => sql`
  with a as (select * from pg_stat_activity where datname = any (${names}::text[]))
  select a.datname as database, 'transaction' as kind, format('pid %s (%s)', a.pid, ${backendType}) as name
    from a
   where a.backend_xid is not null and not ${isAutovacuum}
     and ${since(
       'backendType',
       fragment`a.backend_type not in ('client backend', 'walsender')`,
       fragment`a.client_port is null`,
     )}
  union all
  select database, 'prepared', gid from pg_prepared_xacts where database = any (${names}::text[])
  ${since(
    'publications',
    sql`union all
        select d.datname, 'subscription', s.subname
          from pg_subscription s join pg_database d on d.oid = s.subdbid
         where d.datname = any (${names}::text[]) and s.subenabled
        union all
        select a.datname, 'worker', a.backend_type
          from a
         where a.backend_type not in ('client backend', 'walsender', 'autovacuum worker', 'parallel worker', 'slotsync worker')
           and a.backend_type !~ '^(logical replication|pglogical (manager|supervisor))'`,
    sql``,
  )}
   order by 1, 2, 3`;

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
