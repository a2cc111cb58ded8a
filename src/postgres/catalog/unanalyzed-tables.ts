import * as z from 'zod';
import { sql } from '../sql.ts';
import type { Sql } from '../sql.ts';
import { NOT_USERS } from './schemas.ts';

export const UnanalyzedTable = z.object({
  schema: z.string(),
  name: z.string(),
  kind: z.enum(['r', 'p', 'm']),
  bytes: z.number(),
});
export type UnanalyzedTable = z.output<typeof UnanalyzedTable>;

/**
 * Tables of users, partitioned ones and materialized views that have rows but no statistics: never analyzed, neither by hand nor
 * by autovacuum. Largest first.
 * @see https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ALL-TABLES-VIEW
 */
export const unanalyzedTables = (): Sql => sql`
  with recursive tree (root, oid) as (
    select oid, oid from pg_class where relkind = 'p'
    union all
    select t.root, i.inhrelid from tree t join pg_inherits i on i.inhparent = t.oid)
  select n.nspname as schema, c.relname as name, c.relkind::text as kind, s.bytes::float8 as bytes
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    cross join lateral (
      select case c.relkind
               when 'p' then (select sum(pg_relation_size(t.oid)) from tree t join pg_class l on l.oid = t.oid
                               where t.root = c.oid and l.relkind = 'r')
               else pg_relation_size(c.oid) end as bytes) s
   where c.relkind in ('r', 'p', 'm') and c.relpersistence <> 't'
     and n.nspname !~ '^pg_' and n.nspname not in (${NOT_USERS})
     and s.bytes > 0
     and not exists (select from pg_statistic p where p.starelid = c.oid and (p.stainherit or c.relkind <> 'p'))
     and coalesce(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) is null
     and exists (select from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
   order by s.bytes desc, 1, 2`;
