import * as z from 'zod';
import { fragment, since, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

export const Count = z.object({ count: z.number() });

/**
 * How many of pglogical's background workers run for these databases, with the one that looks after all.
 * @see https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW
 */
export const pglogicalWorkers = (databases: readonly string[]): Sql => sql`
  select count(*)::int as count from pg_stat_activity
   where ${since('backendType', fragment`backend_type`, fragment`application_name`)} like 'pglogical %'
     and (datname is null or datname = any (${[...databases]}::text[]))`;

export const PglogicalServer = z.object({
  /** What CREATE EXTENSION would make; null: its files are not there. */
  version: z.string().nullable(),
  preloaded: z.boolean(),
  libraries: z.string(),
});
export type PglogicalServer = z.output<typeof PglogicalServer>;

/** Whether this server has pglogical, and loads it at its start. */
export const pglogicalServer = (): Sql => sql`
  select (select default_version from pg_available_extensions where name = 'pglogical') as version,
         -- What is loaded has its settings listed.
         exists (select from pg_settings where name = 'pglogical.batch_inserts') as preloaded,
         (select setting from pg_settings where name = 'shared_preload_libraries') as libraries`;
