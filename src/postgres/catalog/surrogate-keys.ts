import * as z from 'zod';
import { fragment, id, lit, sql, trusted } from '../sql.ts';
import type { Fragment, Sql } from '../sql.ts';
import { offers } from '../versions.ts';

/** The key column that pgconvoy adds to a table where nothing else can tell its rows apart. */
export const SURROGATE_COLUMN = '__pgconvoy_id';

/** A column is ours by its name and this comment; both travel to the target with the schema. */
const COMMENT = 'Added by pgconvoy fix, so that replication can tell the rows apart. pgconvoy uninstall drops it.';

/** Of the constraint or index on the column; `oid` is the table's. */
const surrogateIndexName = (oid: number): string => `pgconvoy_id_${oid}`;
const surrogateSequenceName = (oid: number): string => `pgconvoy_id_${oid}_seq`;
const checkName = (oid: number): string => `pgconvoy_id_${oid}_not_null`;

/** That an index's name is one of ours. */
export const isSurrogateIndex = (name: string | null): boolean => name !== null && /^pgconvoy_id_\d+$/.test(name);

export const SurrogateObstacle = z.object({
  table: z.coerce.number(),
  /** Why the table cannot get the column; null: it can, but not by one rewrite, since its row type is in use. */
  obstacle: z.enum(['partition', 'typed', 'parent', 'taken']).nullable(),
});
export type SurrogateObstacle = z.output<typeof SurrogateObstacle>;

/** The column, where it is ours. */
const isOurs = (): Sql =>
  sql`a.attname = ${lit(SURROGATE_COLUMN)} and not a.attisdropped
      and col_description(a.attrelid, a.attnum) = ${lit(COMMENT)}`;

/**
 * Tables that cannot simply get one more column, with the reason: a partition has the columns of its root, a typed table those of
 * its type, a parent's go to its children, and a column of that name may be somebody else's.
 * @see https://www.postgresql.org/docs/current/sql-altertable.html
 */
export const surrogateObstacles = (): Sql => sql`
  select "table", obstacle from (
    select c.oid::text as "table",
           case when (row_to_json(c)->>'relispartition')::bool then 'partition'
                when c.reloftype <> 0 then 'typed'
                when c.oid in (select inhparent from pg_inherits) then 'parent'
                when c.oid in (select a.attrelid from pg_attribute a
                                where a.attname = ${lit(SURROGATE_COLUMN)} and not a.attisdropped and (${isOurs()}) is not true)
                     then 'taken' end as obstacle,
           c.oid in (${tablesUsedAsType()}) as is_type
      from pg_class c
     where c.relkind = 'r' and c.relpersistence = 'p'
       and c.relnamespace <> (select oid from pg_namespace where nspname = 'pg_catalog')) o
   where obstacle is not null or is_type`;

/** Tables whose row type, or an array of it, is the type of a column that is stored. */
function tablesUsedAsType(): Sql {
  return sql`
    select coalesce(nullif(e.typrelid, 0), t.typrelid)
      from pg_attribute a
      join pg_class u on u.oid = a.attrelid and u.relkind in ('r', 'p', 'm')
      join pg_type t on t.oid = a.atttypid
      left join pg_type e on e.oid = t.typelem
     where a.attnum > 0 and not a.attisdropped and a.atttypid >= 16384`;
}

export const SurrogateState = z.object({
  owner: z.string(),
  hasColumn: z.boolean(),
  notNull: z.boolean(),
  hasPrimaryKey: z.boolean(),
  index: z.enum(['none', 'invalid', 'valid']),
  /** The constraint that spares SET NOT NULL its reading of the table. */
  check: z.enum(['none', 'not validated', 'validated']),
  pages: z.number(),
  /** More rows than this never fit into a page: a line pointer and the smallest row are 28 bytes. */
  itemsPerPage: z.number(),
});
export type SurrogateState = z.output<typeof SurrogateState>;

/** How far the column of one table is, and how many pages the table has. No row where the table is gone. */
export const surrogateState = (oid: number): Sql => sql`
  select pg_get_userbyid(c.relowner)::text as owner,
         a.attnum is not null as "hasColumn", coalesce(a.attnotnull, false) as "notNull",
         exists (select from pg_index p where p.indrelid = c.oid and p.indisprimary) as "hasPrimaryKey",
         case when i.indisvalid then 'valid' when i.indexrelid is not null then 'invalid' else 'none' end as index,
         case when k.convalidated then 'validated' when k.oid is not null then 'not validated' else 'none' end as check,
         (pg_relation_size(c.oid) / current_setting('block_size')::int)::float8 as pages,
         current_setting('block_size')::int / 28 as "itemsPerPage"
    from pg_class c
    left join pg_attribute a on a.attrelid = c.oid and ${isOurs()}
    left join pg_class ic on ic.relnamespace = c.relnamespace and ic.relname = ${lit(surrogateIndexName(oid))}
    left join pg_index i on i.indexrelid = ic.oid and i.indrelid = c.oid
    left join pg_constraint k on k.conrelid = c.oid and k.conname = ${lit(checkName(oid))}
   where c.oid = ${trusted(String(oid))}`;

export const SurrogateTable = z.object({ schema: z.string(), name: z.string() });
export type SurrogateTable = z.output<typeof SurrogateTable>;

/** Every table with a column of ours. */
export const surrogateTables = (): Sql => sql`
  select n.nspname as schema, c.relname as name
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid and c.relkind = 'r'
    join pg_namespace n on n.oid = c.relnamespace
   where a.attnum > 0 and ${isOurs()}
   order by 1, 2`;

interface Place {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
}

const only = ({ schema, name }: Place): Fragment => fragment`only ${id(schema, name)}`;
const column = id(SURROGATE_COLUMN);
const sequence = ({ oid, schema }: Place): Fragment => id(schema, surrogateSequenceName(oid));
const sequenceDefault = (table: Place): Fragment => fragment`nextval(${lit(sequence(table).text)}::regclass)`;

/** Where the column's numbers come from. Everybody may take one: an INSERT does, whoever may insert. */
export const createSurrogateSequence = (table: Place, owner: string): Sql[] => [
  sql`create sequence ${sequence(table)}`,
  sql`alter sequence ${sequence(table)} owner to ${id(owner)}`,
  sql`grant usage on sequence ${sequence(table)} to public`,
];

/** The column, full at once, and its key: rewrites the table. */
export const addFilledColumn = (table: Place, hasPrimaryKey: boolean): Sql[] => [
  sql`alter table ${only(table)} add column ${column} bigint not null default ${sequenceDefault(table)},
        add constraint ${id(surrogateIndexName(table.oid))} ${trusted(hasPrimaryKey ? 'unique' : 'primary key')} (${column})`,
  ...markAsOurs(table),
];

/** The column, empty: catalog only. Rows that are inserted from now on have a number. */
export const addEmptyColumn = (table: Place): Sql[] => [
  sql`alter table ${only(table)} add column ${column} bigint`,
  sql`alter table ${only(table)} alter column ${column} set default ${sequenceDefault(table)}`,
  ...markAsOurs(table),
];

const markAsOurs = (table: Place): Sql[] => [
  sql`alter sequence ${sequence(table)} owned by ${id(table.schema, table.name, SURROGATE_COLUMN)}`,
  sql`comment on column ${id(table.schema, table.name, SURROGATE_COLUMN)} is ${lit(COMMENT)}`,
];

/** Pages filled by one statement where each of their rows has to be named. */
const MOST_NAMED_PAGES = 128;

/**
 * Fills the rows of these pages that are empty still, of at most so many of them; `to` says how far. Rows that somebody else has locked
 * are left for later, so nobody waits for us and we for nobody.
 * @see https://www.postgresql.org/docs/current/sql-select.html#SQL-FOR-UPDATE-SHARE
 */
export function fillPages(
  table: Place,
  major: number,
  { from, most, itemsPerPage }: { readonly from: number; readonly most: number; readonly itemsPerPage: number },
): { readonly statement: Sql; readonly to: number } {
  if (offers(major, 'tidRangeScan')) {
    const to = from + most;
    const [first, last] = [trusted(`'(${from},0)'`), trusted(`'(${to},0)'`)];
    return { statement: fill(table, major, sql`ctid >= ${first} and ctid < ${last} and ${column} is null`), to };
  }
  // A range would read the whole table. A subquery that makes the places would be run again for each row that is changed meanwhile.
  const to = from + Math.min(most, MOST_NAMED_PAGES);
  const places: string[] = [];
  for (let page = from; page < to; page++)
    for (let item = 1; item <= itemsPerPage; item++) places.push(`(${page},${item})`);
  return { statement: fill(table, major, sql`ctid = any (${places}::tid[]) and ${column} is null`), to };
}

/** Fills at most so many rows that are empty still; found by the index. */
export const fillRest = (table: Place, major: number, most: number): Sql =>
  fill(table, major, sql`${column} is null limit ${trusted(String(most))}`);

const fill = (table: Place, major: number, rows: Sql): Sql => sql`
  update ${only(table)} set ${column} = default
   where ctid = any (array(select ctid from ${only(table)} where ${rows}
                              for update ${trusted(offers(major, 'skipLocked') ? 'skip locked' : 'nowait')}))`;

/** Waits for transactions that began before it, but keeps nobody from reading or writing. */
export const createSurrogateIndex = (table: Place): Sql =>
  sql`create unique index concurrently ${id(surrogateIndexName(table.oid))} on ${id(table.schema, table.name)} (${column})`;

export const dropSurrogateIndex = ({ oid, schema }: Place): Sql =>
  sql`drop index concurrently if exists ${id(schema, surrogateIndexName(oid))}`;

/** From now on no row can be empty; rows that are there are not looked at. */
export const forbidEmpty = (table: Place): Sql =>
  sql`alter table ${only(table)} add constraint ${id(checkName(table.oid))} check (${column} is not null) not valid`;

/** Reads the table; nobody has to wait. */
export const validateNotEmpty = (table: Place): Sql =>
  sql`alter table ${only(table)} validate constraint ${id(checkName(table.oid))}`;

/** Without reading the table from 12 on, since the constraint has. */
export const makeKey = (table: Place, hasPrimaryKey: boolean): Sql[] => {
  const name = id(surrogateIndexName(table.oid));
  return [
    sql`alter table ${only(table)} alter column ${column} set not null`,
    sql`alter table ${only(table)} drop constraint ${id(checkName(table.oid))}`,
    ...(hasPrimaryKey ? [] : [sql`alter table ${only(table)} add constraint ${name} primary key using index ${name}`]),
  ];
};

/** With its index, default and sequence. */
export const dropSurrogateColumn = ({ schema, name }: SurrogateTable): Sql =>
  sql`alter table only ${id(schema, name)} drop column ${column}`;
