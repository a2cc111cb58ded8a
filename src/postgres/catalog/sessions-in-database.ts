import * as z from 'zod';
import { sql } from '../sql.ts';
import type { Sql } from '../sql.ts';
import { isClient } from './sessions.ts';

export const SessionsInDatabase = z.object({
  sessions: z.number(),
  superusers: z.number(),
  /** Those with an open transaction, the oldest first. */
  transactions: z.array(
    z.object({
      pid: z.number(),
      user: z.string(),
      application: z.string(),
      seconds: z.number(),
      /** It has written. */
      writes: z.boolean(),
    }),
  ),
});
export type SessionsInDatabase = z.output<typeof SessionsInDatabase>;

/**
 * Sessions of others in a database, and what they have open.
 * @see https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW
 */
export const sessionsInDatabase = (name: string): Sql => sql`
  select count(*)::int as sessions, count(*) filter (where u.rolsuper)::int as superusers,
         coalesce(json_agg(json_build_object(
           'pid', a.pid, 'user', coalesce(a.usename, ''), 'application', coalesce(a.application_name, ''),
           'seconds', extract(epoch from clock_timestamp() - a.xact_start)::float8, 'writes', a.backend_xid is not null)
           order by a.xact_start) filter (where a.xact_start is not null), '[]') as transactions
    from pg_stat_activity a left join pg_roles u on u.oid = a.usesysid
   where a.datname = ${name} and ${isClient}
     and not (a.usename = session_user and a.application_name like 'pgconvoy%')`;
