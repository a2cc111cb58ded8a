import * as z from 'zod';
import { sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

export const SlotLag = z.object({
  name: z.string(),
  database: z.string(),
  /** A WAL sender reads it now. */
  active: z.boolean(),
  /** WAL that the target has not confirmed yet, bytes. */
  lagBytes: z.number(),
  /** How far the target's flush is behind, seconds; null while nothing is sent, or the target is not connected. */
  lagSeconds: z.number().nullable(),
  /** WAL that the source keeps for it, bytes. */
  retainedBytes: z.number(),
  /** reserved, extended, unreserved or lost (13 and later). */
  walStatus: z.string().nullable(),
});
export type SlotLag = z.output<typeof SlotLag>;

/**
 * The logical slots of this LIKE pattern, with how far their readers are behind.
 * @see https://www.postgresql.org/docs/current/view-pg-replication-slots.html
 * @see https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-REPLICATION-VIEW
 */
export const slotLags = (ours: string): Sql => sql`
  with now as (select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end as lsn)
  select s.slot_name::text as name, s.database::text as database, s.active,
         coalesce(greatest(pg_wal_lsn_diff(now.lsn, s.confirmed_flush_lsn), 0), 0)::float8 as "lagBytes",
         extract(epoch from r.flush_lag)::float8 as "lagSeconds",
         coalesce(greatest(pg_wal_lsn_diff(now.lsn, s.restart_lsn), 0), 0)::float8 as "retainedBytes",
         to_jsonb(s)->>'wal_status' as "walStatus"
    from pg_replication_slots s
    cross join now
    left join pg_stat_replication r on r.pid = s.active_pid
   where s.slot_type = 'logical' and s.slot_name like ${ours}`;

export const SubscriptionWorkers = z.object({
  name: z.string(),
  database: z.string(),
  enabled: z.boolean(),
  /** The apply worker runs. */
  applying: z.boolean(),
  /** Tables being copied right now. */
  copying: z.number(),
  /** How often its workers have failed (15 and later). */
  errors: z.number().nullable(),
});
export type SubscriptionWorkers = z.output<typeof SubscriptionWorkers>;

/**
 * The subscriptions of this LIKE pattern in all databases, with their workers.
 * @see https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-SUBSCRIPTION
 */
export const subscriptionWorkers = (ours: string, counted: boolean): Sql => sql`
  select s.subname::text as name, d.datname::text as database, s.subenabled as enabled,
         count(w.pid) filter (where w.relid is null) > 0 as applying,
         count(w.pid) filter (where w.relid is not null)::int as copying,
         ${counted ? sql`(select (apply_error_count + sync_error_count)::float8 from pg_stat_subscription_stats where subid = s.oid)` : sql`null::float8`} as errors
    from pg_subscription s
    join pg_database d on d.oid = s.subdbid
    left join pg_stat_subscription w on w.subid = s.oid
   where s.subname like ${ours}
   group by s.oid, s.subname, s.subenabled, d.datname`;

export const TableCounts = z.object({
  waiting: z.number(),
  copying: z.number(),
  catchingUp: z.number(),
  streaming: z.number(),
});
export type TableCounts = z.output<typeof TableCounts>;

/**
 * How many tables of a subscription of this database are in which state.
 * @see https://www.postgresql.org/docs/current/catalog-pg-subscription-rel.html
 */
export const tableCounts = (subscription: string): Sql => sql`
  select count(*) filter (where srsubstate = 'i')::int as waiting,
         count(*) filter (where srsubstate = 'd')::int as copying,
         count(*) filter (where srsubstate in ('f', 's'))::int as "catchingUp",
         count(*) filter (where srsubstate = 'r')::int as streaming
    from pg_subscription_rel r
    join pg_subscription s on s.oid = r.srsubid
   where s.subname = ${subscription}`;
