import * as z from 'zod';
import { fragment, since, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

export const Sessions = z.object({ connections: z.number(), workers: z.number() });
export type Sessions = z.output<typeof Sessions>;

/**
 * How many connections are in use by others than pgconvoy (below 12 WAL senders take from them too), and how many background
 * workers run beside those of parallel queries and logical replication.
 * @see https://www.postgresql.org/docs/current/runtime-config-connection.html#GUC-MAX-CONNECTIONS
 */
export const sessionsInUse = (): Sql => since('backendType', sessionsByType(), clientSessions());

/**
 * A session of a client (alias a of pg_stat_activity), no WAL sender and no background process. Before 10 these are told by
 * pg_stat_replication and by having no client.
 */
export const isClient = since(
  'backendType',
  fragment`a.backend_type = 'client backend'`,
  fragment`(a.client_port is not null and not exists (select from pg_stat_replication w where w.pid = a.pid))`,
);

/** Before 10 the processes that are nobody's session are not listed, background workers only while they use a database. */
const clientSessions = (): Sql => sql`
  select count(*) filter (where application_name not like 'pgconvoy%' and client_port is not null)::int as connections,
         count(*) filter (where client_port is null and coalesce(application_name, '') not like 'pgconvoy%'
                            and query not like 'autovacuum: %')::int as workers
    from pg_stat_activity`;

const sessionsByType = (): Sql => sql`
  select count(*) filter (where application_name not like 'pgconvoy%' and
           (backend_type = 'client backend' or
            (backend_type = 'walsender' and current_setting('server_version_num')::int < 120000)))::int as connections,
         count(*) filter (where backend_type not in (
           'client backend', 'walsender', 'autovacuum launcher', 'autovacuum worker', 'background writer', 'checkpointer',
           'startup', 'walreceiver', 'walwriter', 'walsummarizer', 'archiver', 'logger', 'io worker', 'slotsync worker',
           'standalone backend', 'parallel worker', 'background worker', 'logical replication launcher',
           'logical replication worker', 'logical replication apply worker', 'logical replication parallel worker',
           'logical replication tablesync worker'))::int as workers
    from pg_stat_activity`;

export const Room = z.object({ free: z.coerce.number() });

/**
 * Sessions that the server still takes from us, beside those it reserves for others; below 12 WAL senders take from them too.
 * @see https://www.postgresql.org/docs/current/runtime-config-connection.html
 */
export const roomForSessions = (): Sql => sql`
  select least(limits.most - (select count(*) from pg_stat_activity a
                               where ${isClient} or (limits.version < 120000 and a.client_port is not null)),
               (select r.rolconnlimit - (select count(*) from pg_stat_activity a where a.usesysid = r.oid)
                  from pg_roles r where r.rolname = session_user and r.rolconnlimit >= 0)) as free
    from (select sum(case name when 'max_connections' then setting::int else -setting::int end) as most,
                 current_setting('server_version_num')::int as version
            from pg_settings where name in ('max_connections', 'superuser_reserved_connections', 'reserved_connections')) limits`;
