import * as z from 'zod';
import { since, sql } from '../sql.ts';
import { NOT_USERS, NOT_USERS_EXTENSIONS } from './schemas.ts';
import type { Sql } from '../sql.ts';

export const InventoryItem = z.object({
  kind: z.string(),
  /** Qualified, without the double quotes: majors differ in which words they quote. */
  object: z.string(),
  /** What must be the same on both sides as well: columns and their types, whether a constraint is validated, … */
  detail: z.string().nullable(),
});
export type InventoryItem = z.output<typeof InventoryItem>;

/** Everything that users made; extensions' own objects and ours are left out. OIDs of users begin at 16384. */
const itemsOf = (objects: Sql): Sql => sql`
  with objects (kind, class, oid, detail) as (${objects})
  select o.kind, replace(i.identity, '"', '') as object, o.detail
    from objects o cross join lateral pg_identify_object(o.class, o.oid, 0) i
   where o.oid >= 16384
     and i.identity !~ '(^| on )(pgconvoy|pglogical|pglogical_origin)\\.'
     and not exists (select from pg_depend d where d.classid = o.class and d.objid = o.oid and d.deptype = 'e')`;

const USERS_SCHEMA = sql`n.nspname !~ '^pg_' and n.nspname not in (${NOT_USERS})`;

/**
 * Every object that comes before the data: schemas, extensions, types, functions, tables with their columns, views, …
 * @see https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-OBJECT
 */
export const schemaInventory = (): Sql =>
  itemsOf(sql`
    select 'schema', 'pg_namespace'::regclass::oid, n.oid, null from pg_namespace n where ${USERS_SCHEMA}
    union all
    select 'extension', 'pg_extension'::regclass, oid, null from pg_extension where extname not in (${NOT_USERS_EXTENSIONS})
    union all
    select case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
                          when 'f' then 'foreign table' else 'table' end,
           'pg_class'::regclass, c.oid,
           case when c.relkind <> 'S' then (
             select md5(string_agg(replace(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), '"', ''), ',' order by a.attnum))
               from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) end
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and ${USERS_SCHEMA}
    union all
    select 'type', 'pg_type'::regclass, t.oid, null
      from pg_type t join pg_namespace n on n.oid = t.typnamespace left join pg_class c on c.oid = t.typrelid
     where t.typtype in ('b', 'c', 'd', 'e', 'r') and (c.oid is null or c.relkind = 'c') and ${USERS_SCHEMA}
       and not exists (select from pg_type e where e.typarray = t.oid)
    union all
    select 'function', 'pg_proc'::regclass, p.oid, null
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace where ${USERS_SCHEMA}
    union all select 'operator', 'pg_operator'::regclass, oid, null from pg_operator
    union all select 'operator class', 'pg_opclass'::regclass, oid, null from pg_opclass
    union all select 'operator family', 'pg_opfamily'::regclass, oid, null from pg_opfamily
    union all select 'collation', 'pg_collation'::regclass, oid, null from pg_collation
    union all select 'conversion', 'pg_conversion'::regclass, oid, null from pg_conversion
    union all select 'cast', 'pg_cast'::regclass, oid, null from pg_cast
    union all select 'text search configuration', 'pg_ts_config'::regclass, oid, null from pg_ts_config
    union all select 'text search dictionary', 'pg_ts_dict'::regclass, oid, null from pg_ts_dict
    union all select 'text search parser', 'pg_ts_parser'::regclass, oid, null from pg_ts_parser
    union all select 'text search template', 'pg_ts_template'::regclass, oid, null from pg_ts_template
    union all select 'foreign data wrapper', 'pg_foreign_data_wrapper'::regclass, oid, null from pg_foreign_data_wrapper
    union all select 'server', 'pg_foreign_server'::regclass, oid, null from pg_foreign_server
    union all select 'user mapping', 'pg_user_mapping'::regclass, oid, null from pg_user_mapping
    union all select 'language', 'pg_language'::regclass, oid, null from pg_language
    ${since('accessMethods', sql`union all select 'access method', 'pg_am'::regclass, oid, null from pg_am`, sql``)}
    ${since('transforms', sql`union all select 'transform', 'pg_transform'::regclass, oid, null from pg_transform`, sql``)}
    union all
    select 'index', 'pg_class'::regclass, x.indexrelid, null
      from (${identityIndexRows()}) x`);

/**
 * Every object that comes after the data, but those that would fire while rows are applied. What is inherited from a
 * partitioned table is made with it; an index that is not valid on the source is not made.
 */
export const lateInventory = (): Sql =>
  itemsOf(sql`
    select 'index', 'pg_class'::regclass::oid, c.oid, null
      from pg_class c join pg_index x on x.indexrelid = c.oid join pg_namespace n on n.oid = c.relnamespace
     where (c.relkind = 'I' or x.indisvalid) and ${USERS_SCHEMA}
    union all
    select 'constraint', 'pg_constraint'::regclass, c.oid, case when c.convalidated then 'validated' else 'not validated' end
      from pg_constraint c
     where c.contype in ('p', 'u', 'x', 'f', 'c') and ${since('inheritedConstraints', sql`c.conparentid = 0`, sql`true`)}
    union all
    select 'trigger', 'pg_trigger'::regclass, t.oid, t.tgenabled::text
      from pg_trigger t
     where not t.tgisinternal and coalesce((to_json(t)->>'tgparentid')::oid, 0) = 0 and t.tgenabled not in ('A', 'R')
    ${since('rowPolicies', sql`union all select 'policy', 'pg_policy'::regclass, oid, null from pg_policy`, sql``)}
    union all select 'rule', 'pg_rewrite'::regclass, oid, ev_enabled::text from pg_rewrite where rulename <> '_RETURN'
    ${since(
      'extendedStatistics',
      sql`union all select 'statistics', 'pg_statistic_ext'::regclass, oid, null from pg_statistic_ext`,
      sql``,
    )}`);

export const IdentityIndex = z.object({ schema: z.string(), table: z.string(), index: z.string() });

/** Indexes by which rows are recognised while they are applied: primary keys and chosen replica identities. */
export const identityIndexes = (): Sql => sql`
  select n.nspname as schema, t.relname as table, c.relname as index
    from (${identityIndexRows()}) x
    join pg_class c on c.oid = x.indexrelid
    join pg_class t on t.oid = x.indrelid
    join pg_namespace n on n.oid = c.relnamespace`;

function identityIndexRows(): Sql {
  return sql`select i.indexrelid, i.indrelid
               from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
              where (i.indisprimary or i.indisreplident) and (i.indisvalid or c.relkind = 'I') and ${USERS_SCHEMA}`;
}

export const Described = z.object({ comments: z.boolean(), labels: z.boolean() });

/**
 * Whether users have said anything about their objects: comments (the system's own schema public is theirs as well, and may have lost
 * its own), security labels.
 * @see https://www.postgresql.org/docs/current/catalog-pg-description.html
 */
export const described = (): Sql => sql`
  select exists (select from pg_description where objoid >= 16384)
         or exists (select from pg_namespace
                     where nspname = 'public' and obj_description(oid, 'pg_namespace') is distinct from 'standard public schema') as comments,
         exists (select from pg_seclabel) as labels`;

export interface InventoryDifference {
  readonly kind: string;
  readonly object: string;
  readonly problem: 'missing' | 'different';
}

/** What the source has and the target has not, or has otherwise. More on the target is no concern. */
export function inventoryDifference(
  source: readonly InventoryItem[],
  target: readonly InventoryItem[],
): InventoryDifference[] {
  const present = new Map(target.map((item) => [`${item.kind} ${item.object}`, item]));
  return source.flatMap((item): InventoryDifference[] => {
    const { kind, object } = item;
    const other = present.get(`${kind} ${object}`);
    if (!other) return [{ kind, object, problem: 'missing' }];
    return other.detail === item.detail ? [] : [{ kind, object, problem: 'different' }];
  });
}
