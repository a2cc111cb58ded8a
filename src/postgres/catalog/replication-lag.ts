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
  /** A WAL sender reads it now. */
  active: z.boolean(),
  /** How far the source's WAL goes, and up to where the target has confirmed it, bytes. */
  writtenTo: z.number(),
  confirmedTo: z.number(),
  /** How late the target confirmed what it confirmed last, seconds; null while nothing is sent, without a reader, or before 10. */
  flushLagSeconds: z.number().nullable(),
  /** Since when nothing was heard of its reader, seconds; null before 12, and without a reader before 17. */
  silentSeconds: z.number().nullable(),
  /** WAL that the source keeps for it, bytes. */
  retainedBytes: z.number(),
  /** reserved, extended, unreserved or lost (13 and later). */
  walStatus: z.string().nullable(),
  /** WAL that may still be written before the server removes what the slot needs, bytes; null without such a limit (13 and later). */
  safeBytes: z.number().nullable(),
});
export type SlotLag = z.output<typeof SlotLag>;

const replyTime = since('replyTime', fragment`r.reply_time`, fragment`null::timestamptz`);

/**
 * The logical slots of this LIKE pattern, with how far their readers are behind.
 * @see https://www.postgresql.org/docs/current/view-pg-replication-slots.html
 * @see https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-REPLICATION-VIEW
 */
export const slotLags = (ours: string): Sql => sql`
  with now as (select case when pg_is_in_recovery() then ${lastReplayedLsn} else ${currentLsn} end as lsn)
  select s.slot_name::text as name, s.database::text as database, s.active,
         ${lsnDifference}(now.lsn, '0/0')::float8 as "writtenTo",
         coalesce(${lsnDifference}(${confirmedLsn}, '0/0'), 0)::float8 as "confirmedTo",
         ${since('replicationLag', fragment`extract(epoch from r.flush_lag)`, fragment`null`)}::float8 as "flushLagSeconds",
         extract(epoch from clock_timestamp() - coalesce(${replyTime}, (to_json(s)->>'inactive_since')::timestamptz))::float8 as "silentSeconds",
         coalesce(greatest(${lsnDifference}(now.lsn, s.restart_lsn), 0), 0)::float8 as "retainedBytes",
         to_json(s)->>'wal_status' as "walStatus",
         (to_json(s)->>'safe_wal_size')::float8 as "safeBytes"
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
  /** How often its workers have failed (15 and later), and at which conflicts (18 and later: insert_exists and others). */
  errors: z
    .object({ applying: z.number(), copying: z.number(), conflicts: z.record(z.string(), z.coerce.number()) })
    .nullable(),
});
export type SubscriptionWorkers = z.output<typeof SubscriptionWorkers>;

/**
 * The subscriptions of this LIKE pattern in all databases, with their workers.
 * @see https://www.postgresql.org/docs/current/logical-replication-conflicts.html
 * @see https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-SUBSCRIPTION
 */
export const subscriptionWorkers = (ours: string): Sql => sql`
  select s.subname::text as name, d.datname::text as database, s.subenabled as enabled,
         count(w.pid) filter (where w.relid is null) > 0 as applying,
         count(w.pid) filter (where w.relid is not null)::int as copying,
         ${since(
           'subscriptionStatistics',
           fragment`(select json_build_object(
                              'applying', apply_error_count, 'copying', sync_error_count,
                              'conflicts', (select coalesce(json_object_agg(substring(c.key from 7), c.value), '{}')
                                              from json_each_text(to_json(t)) c where c.key like 'confl\\_%' and c.value <> '0'))
                       from pg_stat_subscription_stats t where subid = s.oid)`,
           fragment`null::json`,
         )} as errors
    from pg_subscription s
    join pg_database d on d.oid = s.subdbid
    left join pg_stat_subscription w on w.subid = s.oid
   where s.subname like ${ours}
   group by s.oid, s.subname, s.subenabled, d.datname`;

export const WorkerUse = z.object({ used: z.number(), most: z.number() });
export type WorkerUse = z.output<typeof WorkerUse>;

/**
 * Workers of native subscriptions that run, of as many as may.
 * @see https://www.postgresql.org/docs/current/logical-replication-config.html
 */
export const workerUse = (): Sql => sql`
  select count(pid)::int as used, current_setting('max_logical_replication_workers')::int as most
    from pg_stat_subscription`;
