import * as z from 'zod';
import { fragment, since, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';
import { NOT_USERS } from './schemas.ts';
import { tableBytes } from './tables.ts';

/** Users' schemas: not the system's, not pglogical's and not ours. */
const USERS = fragment`nspname !~ '^pg_' and nspname not in (${NOT_USERS})`;

export const Trigger = z.object({ table: z.string(), name: z.string(), mode: z.enum(['ALWAYS', 'REPLICA']) });
export type Trigger = z.output<typeof Trigger>;

/**
 * Triggers that fire for replicated rows, by table and name.
 * @see https://www.postgresql.org/docs/current/catalog-pg-trigger.html
 */
export const alwaysTriggers = (): Sql => sql`
  select format('%I.%I', n.nspname, c.relname) as table, t.tgname::text as name,
         case t.tgenabled when 'A' then 'ALWAYS' else 'REPLICA' end as mode
    from pg_trigger t
    join pg_class c on c.oid = t.tgrelid
    join pg_namespace n on n.oid = c.relnamespace
   where t.tgenabled in ('A', 'R') and not t.tgisinternal and ${USERS}
   order by 1, 2`;

export const Named = z.object({ name: z.string() });

/**
 * Event triggers that are enabled and not an extension's.
 * @see https://www.postgresql.org/docs/current/catalog-pg-event-trigger.html
 */
export const eventTriggers = (): Sql => sql`
  select evtname::text as name from pg_event_trigger e
   where evtenabled <> 'D'
     and not exists (select from pg_depend d
                      where d.classid = 'pg_event_trigger'::regclass and d.objid = e.oid and d.deptype = 'e')
   order by 1`;

export const LooseFunction = z.object({
  signature: z.string(),
  schema: z.string(),
  /** What calls it while rows are applied: `check constraint`, `index`, `generated column`, `trigger`. */
  users: z.array(z.string()),
});
export type LooseFunction = z.output<typeof LooseFunction>;

/**
 * Functions of users in SQL or a procedural language that set no search_path, and are called while replicated rows are applied: by
 * checks, expression indexes, generated columns, ALWAYS or REPLICA triggers.
 * @see https://www.postgresql.org/docs/current/logical-replication-security.html
 */
export const functionsWithoutSearchPath = (): Sql => {
  // A body of SQL/PSM is bound when the function is made.
  const unbound = since('sqlFunctionBodies', fragment`p.prosqlbody is null`, fragment`true`);
  const generated = since('generatedColumns', fragment`a.attgenerated <> ''`, fragment`false`);
  return sql`
  with called (function, by) as (
    select t.tgfoid, 'trigger' from pg_trigger t where t.tgenabled in ('A', 'R') and not t.tgisinternal
    union
    select d.refobjid, 'check constraint'
      from pg_depend d join pg_constraint c on c.oid = d.objid and c.contype = 'c'
     where d.classid = 'pg_constraint'::regclass and d.refclassid = 'pg_proc'::regclass
    union
    select d.refobjid, 'index'
      from pg_depend d join pg_index i on i.indexrelid = d.objid
     where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_proc'::regclass
    union
    select d.refobjid, 'generated column'
      from pg_depend d
      join pg_attrdef f on f.oid = d.objid
      join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum and ${generated}
     where d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_proc'::regclass
  )
  select format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) as signature,
         n.nspname::text as schema, array_agg(distinct called.by order by called.by) as users
    from called
    join pg_proc p on p.oid = called.function
    join pg_namespace n on n.oid = p.pronamespace
    join pg_language l on l.oid = p.prolang
   where ${USERS} and l.lanname not in ('internal', 'c') and ${unbound}
     and not exists (select from unnest(p.proconfig) as setting where setting like 'search_path=%')
     and not exists (select from pg_depend d
                      where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
   group by 1, 2
   order by 1`;
};

export const IndexOfTable = z.object({ table: z.string(), name: z.string() });
export type IndexOfTable = z.output<typeof IndexOfTable>;

/** Invalid indexes of users' tables, names qualified and quoted. */
export const invalidIndexes = (): Sql => sql`
  select format('%I.%I', n.nspname, c.relname) as table, format('%I.%I', n.nspname, ic.relname) as name
    from pg_index i
    join pg_class ic on ic.oid = i.indexrelid
    join pg_class c on c.oid = i.indrelid
    join pg_namespace n on n.oid = c.relnamespace
   where not i.indisvalid and c.relkind in ('r', 'm') and ${USERS}
   order by 1, 2`;

/**
 * Constraints that are NOT VALID, by table and name.
 * @see https://www.postgresql.org/docs/current/catalog-pg-constraint.html
 */
export const notValidConstraints = (): Sql => sql`
  select format('%I.%I', n.nspname, c.relname) as table, k.conname::text as name
    from pg_constraint k
    join pg_class c on c.oid = k.conrelid
    join pg_namespace n on n.oid = c.relnamespace
   where not k.convalidated and ${USERS}
   order by 1, 2`;

export const ForeignServer = z.object({
  name: z.string(),
  wrapper: z.string(),
  /** host, port, dbname as far as the server's options name them; never its user mappings' options. */
  place: z.string(),
  tables: z.number(),
  mappings: z.number(),
});
export type ForeignServer = z.output<typeof ForeignServer>;

/**
 * Foreign servers, with how many foreign tables and user mappings each has.
 * @see https://www.postgresql.org/docs/current/catalog-pg-foreign-server.html
 */
export const foreignServers = (): Sql => sql`
  select s.srvname::text as name, w.fdwname::text as wrapper,
         coalesce((select string_agg(option, ' ' order by option) from unnest(s.srvoptions) as option
                    where split_part(option, '=', 1) in ('host', 'hostaddr', 'port', 'dbname')), '') as place,
         (select count(*) from pg_foreign_table t where t.ftserver = s.oid)::int as tables,
         (select count(*) from pg_user_mappings m where m.srvid = s.oid)::int as mappings
    from pg_foreign_server s
    join pg_foreign_data_wrapper w on w.oid = s.srvfdw
   order by 1`;

export const Amount = z.object({ count: z.number(), bytes: z.number() });
export type Amount = z.output<typeof Amount>;

/** How many large objects this database holds, and how much of them. */
export const largeObjects = (): Sql => sql`
  select count(*)::float8 as count, pg_relation_size('pg_largeobject')::float8 as bytes from pg_largeobject_metadata`;

/** How many materialized views of users hold rows, and how much. */
export const filledMaterializedViews = (): Sql => sql`
  select count(*)::float8 as count, coalesce(sum(${tableBytes()}), 0)::float8 as bytes
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where c.relkind = 'm' and c.relispopulated and ${USERS}`;

/** Tables WITH OIDS, which 12 and later do not know: none there. */
export const tablesWithOids = (): Sql => sql`
  select format('%I.%I', n.nspname, c.relname) as name
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
   where ${since('noOids', fragment`false`, fragment`c.relhasoids`)} and c.relkind in ('r', 'p') and ${USERS}
   order by 1`;

export const TypedColumn = z.object({ table: z.string(), column: z.string(), type: z.string() });
export type TypedColumn = z.output<typeof TypedColumn>;

/** Columns of types that 12 has removed. */
export const columnsOfRemovedTypes = (): Sql => sql`
  select format('%I.%I', n.nspname, c.relname) as table, a.attname::text as column, t.typname::text as type
    from pg_attribute a
    join pg_type t on t.oid = a.atttypid
    join pg_class c on c.oid = a.attrelid
    join pg_namespace n on n.oid = c.relnamespace
   where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'm', 'f') and ${USERS}
     and t.typnamespace = (select oid from pg_namespace where nspname = 'pg_catalog')
     and t.typname in ('abstime', 'reltime', 'tinterval', '_abstime', '_reltime', '_tinterval')
   order by 1, a.attnum`;

/** Publications that are not this one; none before 10. */
export const otherPublications = (ours: string): Sql =>
  since(
    'publications',
    sql`select pubname::text as name from pg_publication where pubname <> ${ours} order by 1`,
    sql`select null::text as name where false`,
  );
