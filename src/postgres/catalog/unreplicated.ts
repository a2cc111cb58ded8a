import * as z from 'zod';
import { fragment, id, join, lit, since, sql, trusted } from '../sql.ts';
import type { Fragment, Sql } from '../sql.ts';
import { NOT_USERS, NOT_USERS_EXTENSIONS } from './schemas.ts';
import { tableBytes } from './tables.ts';

export const Unreplicated = z.object({
  unloggedTables: z.boolean(),
  materializedViews: z.boolean(),
  largeObjects: z.boolean(),
  extensionRows: z.boolean(),
});
export type Unreplicated = z.output<typeof Unreplicated>;

const isUsersUnlogged = fragment`c.relpersistence = 'u' and c.relkind = 'r'`;

/** Of which kinds there may be something in this database: a cheap look that spares most databases the others. */
export const unreplicatedKinds = (): Sql =>
  sql`
  select coalesce(bool_or(${isUsersUnlogged}), false) as "unloggedTables",
         coalesce(bool_or(c.relkind = 'm'), false) as "materializedViews",
         exists (select from pg_largeobject_metadata) as "largeObjects",
         exists (select from pg_extension
                  where extconfig is not null and extname not in (${NOT_USERS_EXTENSIONS})) as "extensionRows"
    from pg_class c where c.relpersistence = 'u' or c.relkind = 'm'`.kept();

/** Columns of a table (alias c of pg_class) that COPY carries: not generated ones. */
const columns = fragment`
  array(select a.attname::text from pg_attribute a
         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
           and ${since('generatedColumns', fragment`a.attgenerated = ''`, fragment`true`)}
         order by a.attnum)`;

export const UnloggedTable = z.object({
  schema: z.string(),
  name: z.string(),
  columns: z.array(z.string()),
  bytes: z.number(),
});
export type UnloggedTable = z.output<typeof UnloggedTable>;

/**
 * Unlogged tables of users that hold rows themselves, the largest first.
 * @see https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-UNLOGGED
 */
export const unloggedTables = (): Sql => sql`
  select n.nspname as schema, c.relname as name, ${columns} as columns, ${tableBytes()} as bytes
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where ${isUsersUnlogged} and n.nspname not in (${NOT_USERS})
     and not exists (select from pg_depend d
                      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
   order by bytes desc, 1, 2`;

export const ExtensionTable = z.object({
  extension: z.string(),
  schema: z.string(),
  name: z.string(),
  /** r: table; S: sequence. */
  kind: z.enum(['r', 'S']),
  /** `WHERE …`: which rows are the users', as the extension's author wrote it; may be empty. */
  condition: z.string(),
  columns: z.array(z.string()),
});
export type ExtensionTable = z.output<typeof ExtensionTable>;

/**
 * Tables and sequences of extensions whose content is the users' and not the extension's: what pg_extension_config_dump has named.
 * @see https://www.postgresql.org/docs/current/extend-extensions.html#EXTEND-EXTENSIONS-CONFIG-TABLES
 */
export const extensionTables = (): Sql => sql`
  select e.extname::text as extension, n.nspname::text as schema, c.relname::text as name, c.relkind::text as kind,
         coalesce(e.extcondition[k.n], '') as condition, ${columns} as columns
    from pg_extension e,
         lateral unnest(e.extconfig) with ordinality as k (oid, n),
         pg_class c, pg_namespace n
   where c.oid = k.oid and n.oid = c.relnamespace and c.relkind in ('r', 'S') and e.extname not in (${NOT_USERS_EXTENSIONS})
   order by 1, 2, 3`;

interface Rows {
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly string[];
  readonly condition?: string;
}

export const RowSum = z.object({ n: z.number(), rows: z.number(), sum: z.string().nullable() });
export type RowSum = z.output<typeof RowSum>;

/** Rows and checksum of each of these tables, `n` by their place; the order of rows does not matter. */
export const rowSums = (tables: readonly Rows[]): Sql => {
  const sums = tables.map(({ schema, name, columns: names, condition = '' }, n): Fragment => {
    const row = fragment`row(${join(names.map((column) => id(column)))})::text`;
    return fragment`
      select ${trusted(String(n))} as n, count(*)::float8 as rows,
             sum(('x' || substr(md5(${row}), 1, 16))::bit(64)::bigint)::text as sum
        from only ${id(schema, name)} ${trusted(condition)}`;
  });
  return sql`${join(sums, ' union all ')}`;
};

/** The list of columns as COPY and row take it; a table without columns has rows nevertheless. */
const list = (names: readonly string[]): Fragment => join(names.map((column) => id(column)));

/** The users' rows of a table of an extension, as pg_dump reads them; in the database's own encoding nothing is converted. */
export const copyExtensionRowsOut = (
  { schema, name, columns: names, condition }: ExtensionTable,
  encoding: string,
): Sql => sql`
  copy (select ${list(names)} from only ${id(schema, name)} ${trusted(condition)}) to stdout with (encoding ${lit(encoding)})`;
export const copyExtensionRowsIn = ({ schema, name, columns: names }: ExtensionTable, encoding: string): Sql => sql`
  copy ${id(schema, name)} (${list(names)}) from stdin with (encoding ${lit(encoding)})`;
export const removeExtensionRows = ({ schema, name, condition }: ExtensionTable): Sql => sql`
  delete from only ${id(schema, name)} ${trusted(condition)}`;

export const Referenced = z.object({ schema: z.string(), name: z.string() });

/** Those of these tables to which a foreign key leads: TRUNCATE refuses them. */
export const referencedTables = (tables: readonly { readonly schema: string; readonly name: string }[]): Sql => sql`
  select n.nspname as schema, c.relname as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where (n.nspname, c.relname) in (select * from unnest(${tables.map(({ schema }) => schema)}::text[], ${tables.map(({ name }) => name)}::text[]))
     and exists (select from pg_constraint k where k.confrelid = c.oid and k.contype = 'f')`;
