import * as z from 'zod';
import { fragment, id, join, lit, since, sql, trusted } from '../sql.ts';
import type { Fragment, Sql } from '../sql.ts';
import { NOT_USERS } from './schemas.ts';
import { tableBytes } from './tables.ts';

export const ComparableTable = z.object({
  schema: z.string(),
  name: z.string(),
  /** In the order in which they were added. */
  columns: z.array(z.string()),
  /** Of each column, the oid of its type. */
  types: z.array(z.number()),
  bytes: z.number(),
});
export type ComparableTable = z.output<typeof ComparableTable>;

/** Every table whose rows are replicated, with its columns, the smallest first. */
export const comparableTables = (): Sql =>
  sql`
  select n.nspname as schema, c.relname as name,
         array(select a.attname::text from pg_attribute a
                where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as columns,
         array(select a.atttypid::bigint::float8 from pg_attribute a
                where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as types,
         ${tableBytes()} as bytes
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
   where c.relkind = 'r' and c.relpersistence = 'p'
     and n.nspname not in (${NOT_USERS})
     and not exists (select from pg_depend d
                      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
   order by bytes, 1, 2`.kept();

/** How a row becomes a number of 64 bits. `hash` is quick, but 10 does not have it; `md5` is the same everywhere. */
type Checksum = 'hash' | 'md5' | 'none';

/** How both sides write their rows, so that equal ones are written alike. */
export interface Writing {
  readonly checksum: Checksum;
  /** The sides have different encodings: text is brought to one before it becomes a number. */
  readonly recoded: boolean;
  /**
   * Before 12 floats are written with other digits: then columns of floats are taken bit by bit, and what holds floats inside (arrays,
   * points) with 15 digits.
   */
  readonly floatBits: boolean;
}

export const WritingProbe = z.object({
  hash: z.string().nullable(),
  encoding: z.string(),
  /** server_version_num */
  version: z.number(),
});

/** What the sides must have in common for `hash`, null where there is none; it depends on the byte order of the machine. */
export const writingProbe = (): Sql =>
  sql`
  select ${since('extendedHash', fragment`hashtextextended('pgconvoy', 0)::text`, fragment`null::text`)} as hash,
         getdatabaseencoding()::text as encoding, current_setting('server_version_num')::int as version`.kept();

/**
 * A session that compares: floats with all their digits, unless both sides take them bit by bit; nothing compiled, which for many small
 * tables takes longer than reading them; no limit of time but ours. Everything else is set alike in all sessions of ours.
 * @see https://www.postgresql.org/docs/current/runtime-config-client.html#GUC-EXTRA-FLOAT-DIGITS
 */
export const comparingSession = ({ floatBits }: Pick<Writing, 'floatBits'>): Sql => sql`
  select set_config('extra_float_digits', ${floatBits ? '0' : '1'}, false)
         ${since('jit', fragment`, set_config('jit', 'off', false)`, fragment``)}
         ${since('transactionTimeout', fragment`, set_config('transaction_timeout', '0', false)`, fragment``)}`;

/** The rows of a table, or those whose key lies in a range: `from` is in it, `to` is not; both as text. */
export interface Piece {
  readonly table: ComparableTable;
  readonly range?: KeyRange | undefined;
  readonly bytes: number;
}
export interface KeyRange {
  readonly column: string;
  readonly type: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
}

const SEND: Readonly<Record<number, Fragment>> = {
  700: fragment`float4send`,
  701: fragment`float8send`,
};

/** A row as text. NaN has many bit patterns. */
function rowText({ columns, types }: ComparableTable, { floatBits }: Writing): Fragment {
  const values = columns.map((name, index) => {
    const column = id('t', name);
    const send = floatBits ? SEND[types[index] ?? 0] : undefined;
    return send ? fragment`case when ${column} = 'NaN' then 'NaN' else ${send}(${column})::text end` : column;
  });
  return fragment`row(${join(values)})::text`;
}

function numberOf(text: Fragment, { checksum, recoded }: Writing): Fragment {
  if (checksum === 'hash') return fragment`hashtextextended(${text}, 0)`;
  const digest = recoded ? fragment`md5(convert_to(${text}, 'UTF8'))` : fragment`md5(${text})`;
  return fragment`('x' || substr(${digest}, 1, 16))::bit(64)::bigint`;
}

function inRange({ column, type, from, to }: KeyRange): Fragment {
  const bound = (sign: string, value: string | undefined) =>
    value === undefined ? [] : [fragment`${id('t', column)} ${trusted(sign)} ${lit(value)}::${trusted(type)}`];
  return fragment`where ${join([...bound('>=', from), ...bound('<', to)], ' and ')}`;
}

/** A part of a table that no range tells. */
interface Part extends Piece {
  readonly where?: Fragment;
}

const rowsOf = ({ table: { schema, name }, range, where }: Part): Fragment =>
  fragment`from only ${id(schema, name)} as t ${where ?? (range ? inRange(range) : fragment``)}`;

export const PieceSum = z.object({ n: z.number(), rows: z.coerce.number(), sum: z.string().nullable() });
export type PieceSum = z.output<typeof PieceSum>;

/**
 * Rows and checksum of each of these pieces, `n` by their place. The order of rows does not matter, and a row that is there twice counts
 * twice.
 * @see https://www.postgresql.org/docs/current/functions-aggregate.html
 */
export const pieceSums = (pieces: readonly Piece[], writing: Writing): Sql => {
  const sums = pieces.map((piece, n) => {
    const sum =
      writing.checksum === 'none'
        ? fragment`null::text`
        : fragment`sum(${numberOf(rowText(piece.table, writing), writing)})::text`;
    return fragment`select ${trusted(String(n))} as n, count(*)::float8 as rows, ${sum} as sum ${rowsOf(piece)}`;
  });
  return sql`${join(sums, ' union all ')}`;
};

export const TableKey = z.object({
  schema: z.string(),
  name: z.string(),
  columns: z.array(z.string()),
  /** Of each column, its type as SQL writes it. */
  types: z.array(z.string()),
  /** How far rows that lie together have keys that lie together, from 0 to 1, by the first column; null without statistics. */
  correlation: z.number().nullable(),
});
export type TableKey = z.output<typeof TableKey>;

/**
 * By what the rows of tables are told apart: the primary key, the replica identity, or another unique index without nulls.
 * @see https://www.postgresql.org/docs/current/catalog-pg-index.html
 * @see https://www.postgresql.org/docs/current/view-pg-stats.html
 */
export const tableKeys = (tables: readonly Pick<ComparableTable, 'schema' | 'name'>[]): Sql => {
  const keyColumns = since('coveringIndexes', fragment`x.indnkeyatts`, fragment`x.indnatts`);
  const ofColumn = fragment`
    from generate_series(0, k.columns - 1) as i
    join pg_attribute a on a.attrelid = k.oid and a.attnum = k.indkey[i]`;
  return sql`
  select k.schema, k.name,
         array(select a.attname::text ${ofColumn} order by i) as columns,
         array(select format_type(a.atttypid, a.atttypmod) ${ofColumn} order by i) as types,
         (select abs(s.correlation)::float8 from pg_stats s
            join pg_attribute a on a.attrelid = k.oid and a.attnum = k.indkey[0] and a.attname = s.attname
           where s.schemaname = k.schema and s.tablename = k.name and not s.inherited) as correlation
    from (select distinct on (c.oid) c.oid, t.schema, t.name, x.indkey, ${keyColumns}::int as columns
            from unnest(${tables.map(({ schema }) => schema)}::text[], ${tables.map(({ name }) => name)}::text[]) as t (schema, name)
            join pg_namespace n on n.nspname = t.schema
            join pg_class c on c.relnamespace = n.oid and c.relname = t.name
            join pg_index x on x.indrelid = c.oid
           where x.indisunique and x.indimmediate and x.indisvalid and x.indpred is null and x.indexprs is null
             and not exists (select from generate_series(0, ${keyColumns} - 1) as i
                               join pg_attribute a on a.attrelid = c.oid and a.attnum = x.indkey[i]
                              where not a.attnotnull)
           order by c.oid, x.indisprimary desc, x.indisreplident desc, x.indexrelid) k`;
};

export const KeyBounds = z.object({ bounds: z.array(z.string()).nullable() });

/** Pages of which a sample is made. */
const SAMPLE_BYTES = 4 * 1_048_576;

/**
 * Keys that cut a table into about so many pieces of one size, by a sample of its pages; null where the server takes none.
 * @see https://www.postgresql.org/docs/current/sql-select.html#SQL-FROM
 */
export const keyBounds = (
  { schema, name, bytes }: Pick<ComparableTable, 'schema' | 'name' | 'bytes'>,
  column: string,
  pieces: number,
): Sql => {
  const fractions = Array.from({ length: pieces - 1 }, (_, n) => ((n + 1) / pieces).toFixed(6)).join(',');
  const percent = Math.min(100, (100 * SAMPLE_BYTES) / Math.max(1, bytes)).toFixed(6);
  return since(
    'tableSample',
    sql`select percentile_disc(${lit(`{${fractions}}`)}::float8[]) within group (order by t.${id(column)})::text[] as bounds
          from only ${id(schema, name)} as t tablesample system (${trusted(percent)})`,
    sql`select null::text[] as bounds`,
  );
};

/** Of a row: its key (no values where the table has none), its number, where it lies, and which version of it that is. */
export const ComparedRow = z.object({
  key: z.array(z.string()),
  number: z.string(),
  at: z.string(),
  version: z.string(),
});
export type ComparedRow = z.output<typeof ComparedRow>;

export type Key = Pick<TableKey, 'columns' | 'types'>;

export const BucketSum = z.object({ bucket: z.number(), rows: z.coerce.number(), sum: z.string() });
export type BucketSum = z.output<typeof BucketSum>;

/** Buckets are a power of two. Rows go into them by a number made of their key, so that a row is in the same one on both sides. */
const bucketOf = (buckets: number): Fragment => fragment`(numbered.by & ${trusted(String(buckets - 1))})::int`;

/** The rows of a piece with their numbers; without a key the row itself is it. */
function numbered(piece: Part, key: Key | undefined, writing: Writing): Fragment {
  const row = numberOf(rowText(piece.table, writing), writing);
  if (!key)
    return fragment`(select n as number, n as by, '{}'::text[] as key, at, version
    from (select ${row} as n, t.ctid as at, t.xmin::text as version ${rowsOf(piece)}) whole) numbered`;
  const values = key.columns.map((column) => fragment`${id('t', column)}::text`);
  const by = numberOf(fragment`row(${join(values)})::text`, writing);
  return fragment`(select ${row} as number, ${by} as by, array[${join(values)}] as key, t.ctid as at, t.xmin::text as version
    ${rowsOf(piece)}) numbered`;
}

/** Rows and checksum of each bucket of a piece. */
export const bucketSums = (piece: Piece, key: Key | undefined, buckets: number, writing: Writing): Sql => sql`
  select ${bucketOf(buckets)} as bucket, count(*)::float8 as rows, sum(numbered.number)::text as sum
    from ${numbered(piece, key, writing)} group by 1`;

const comparedRow = fragment`numbered.key, numbered.number::text as number, numbered.at::text as at,
         numbered.version || ' ' || numbered.at as version`;

/** The rows of these buckets of a piece. */
export const bucketRows = (
  piece: Piece,
  key: Key | undefined,
  { buckets, wanted }: { readonly buckets: number; readonly wanted: readonly number[] },
  writing: Writing,
): Sql => sql`
  select ${comparedRow} from ${numbered(piece, key, writing)} where ${bucketOf(buckets)} = any (${wanted}::int[])`;

/** The rows with these keys; of a table without a key, those with these numbers. */
export const rowsByKey = (
  table: ComparableTable,
  key: Key | undefined,
  keys: readonly Pick<ComparedRow, 'key' | 'number'>[],
  writing: Writing,
): Sql => {
  const piece = { table, bytes: 0 };
  if (!key) {
    const numbers = keys.map(({ number }) => number);
    return sql`select ${comparedRow} from ${numbered(piece, key, writing)} where numbered.number = any (${numbers}::bigint[])`;
  }
  const columns = join(key.columns.map((column) => id('t', column)));
  const tuples = keys.map(
    (each) =>
      fragment`(${join(each.key.map((value, index) => fragment`${lit(value)}::${trusted(key.types[index] ?? 'text')}`))})`,
  );
  const where = fragment`where (${columns}) in (${join(tuples)})`;
  return sql`select ${comparedRow} from ${numbered({ ...piece, where }, key, writing)}`;
};

export const RewrittenTable = z.object({ schema: z.string(), name: z.string() });

/**
 * Read in an old snapshot: tables whose file is another one by now, or that are gone. TRUNCATE and what rewrites a table are not seen by
 * snapshots as they were.
 * @see https://www.postgresql.org/docs/current/mvcc-caveats.html
 */
export const rewrittenTables = (): Sql => sql`
  select n.nspname as schema, c.relname as name
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
   where c.relkind = 'r' and c.relpersistence = 'p' and n.nspname not in (${NOT_USERS})
     and pg_relation_filenode(c.oid) is distinct from c.relfilenode`;
