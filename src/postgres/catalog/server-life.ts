import * as z from 'zod';
import { sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

export const ServerLife = z.object({ startedAt: z.string(), configuredAt: z.string(), now: z.number() });
export type ServerLife = z.output<typeof ServerLife>;

/**
 * Since when this server runs as it does: its start, the last time it read its configuration; and its clock, seconds. One row.
 * @see https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SESSION
 */
export const serverLife = (): Sql => sql`
  select pg_postmaster_start_time()::text as "startedAt", pg_conf_load_time()::text as "configuredAt",
         extract(epoch from clock_timestamp())::float8 as now`;
