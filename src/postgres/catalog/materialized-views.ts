import * as z from 'zod';
import { sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

export const MaterializedView = z.object({
  schema: z.string(),
  name: z.string(),
  populated: z.boolean(),
  /** 1: reads no other materialized view; n: one of level n - 1, directly or by views. */
  level: z.number(),
});
export type MaterializedView = z.output<typeof MaterializedView>;

/**
 * Every materialized view of users, those that others read first.
 * @see https://www.postgresql.org/docs/current/catalog-pg-rewrite.html
 */
export const materializedViews = (): Sql => sql`
  with recursive reads (reader, read) as (
    select distinct r.ev_class, d.refobjid
      from pg_rewrite r
      join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
                      and d.refclassid = 'pg_class'::regclass and d.refobjid <> r.ev_class
      join pg_class c on c.oid = d.refobjid and c.relkind in ('v', 'm')),
  depth (oid, level) as (
    select oid, 1 from pg_class where relkind = 'm'
    union
    select reads.reader, depth.level + (select (relkind = 'm')::int from pg_class where oid = reads.reader)
      from depth join reads on reads.read = depth.oid)
  select n.nspname as schema, c.relname as name, c.relispopulated as populated, max(depth.level)::int as level
    from depth join pg_class c on c.oid = depth.oid join pg_namespace n on n.oid = c.relnamespace
   where c.relkind = 'm'
     and not exists (select from pg_depend d
                      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
   group by 1, 2, 3
   order by level, 1, 2`;
