import * as z from 'zod';
import { fragment, since, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

/** How far the WAL is written. */
export const currentLsn = since('walNames', fragment`pg_current_wal_lsn()`, fragment`pg_current_xlog_location()`);
const lastReplayedLsn = since('walNames', fragment`pg_last_wal_replay_lsn()`, fragment`pg_last_xlog_replay_location()`);
/** Bytes between two positions. */
export const lsnDifference = since('walNames', fragment`pg_wal_lsn_diff`, fragment`pg_xlog_location_diff`);

/** The WAL sender (alias r of pg_stat_replication) of a slot (alias s). On 9.4 it is known only by the name the reader gives itself. */
export const isReader = since(
  'slotActivePid',
  fragment`r.pid = s.active_pid`,
  fragment`s.active and r.application_name = s.slot_name`,
);

/** Up to where the reader (alias r) of a slot (alias s) has everything on its disk; before 9.6 only while it is connected. */
export const confirmedLsn = since(
  'slotConfirmedLsn',
  fragment`s.confirmed_flush_lsn`,
  fragment`coalesce(r.flush_location, s.restart_lsn)`,
);

export const SlotLag = z.object({
  name: z.string(),
  database: z.string(),
  plugin: z.string(),
  /** A WAL sender reads it now. */
  active: z.boolean(),
  /** WAL that the target has not confirmed yet, bytes. */
  lagBytes: z.number(),
  /** How far the target's flush is behind, seconds; null while nothing is sent, the target is not connected, or before 10. */
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
  with now as (select case when pg_is_in_recovery() then ${lastReplayedLsn} else ${currentLsn} end as lsn)
  select s.slot_name::text as name, s.database::text as database, s.plugin::text as plugin, s.active,
         coalesce(greatest(${lsnDifference}(now.lsn, ${confirmedLsn}), 0), 0)::float8 as "lagBytes",
         ${since('replicationLag', fragment`extract(epoch from r.flush_lag)`, fragment`null`)}::float8 as "lagSeconds",
         coalesce(greatest(${lsnDifference}(now.lsn, s.restart_lsn), 0), 0)::float8 as "retainedBytes",
         to_json(s)->>'wal_status' as "walStatus"
    from pg_replication_slots s
    cross join now
    left join pg_stat_replication r on ${isReader}
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
