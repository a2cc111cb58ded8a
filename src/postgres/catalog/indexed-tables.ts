import * as z from 'zod';
import { sql } from '../sql.ts';
import type { Sql } from '../sql.ts';
import { NOT_USERS } from './schemas.ts';

export const IndexedTable = z.object({
  /** The index (1259, pg_class) or constraint (2606, pg_constraint), as a dump names it. */
  class: z.number(),
  oid: z.coerce.number(),
  table: z.string(),
  bytes: z.number(),
});
export type IndexedTable = z.output<typeof IndexedTable>;

/** The table, with its size, of every index and constraint of users. */
export const indexedTables = (): Sql => sql`
  with tables as (
    select c.oid, c.oid::text as "table", case c.relkind when 'p' then 0 else pg_relation_size(c.oid) end::float8 as bytes
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'm') and n.nspname !~ '^pg_' and n.nspname not in (${NOT_USERS}))
  select 1259 as class, i.indexrelid::text as oid, t."table", coalesce(t.bytes, 0) as bytes
    from pg_index i join tables t on t.oid = i.indrelid
  union all
  select 2606, c.oid::text, t."table", coalesce(t.bytes, 0) from pg_constraint c join tables t on t.oid = c.conrelid`;
