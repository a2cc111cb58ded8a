import * as z from 'zod';
import { fragment, id, join, sql, trusted } from '../sql.ts';
import type { Sql } from '../sql.ts';
import { NOT_USERS } from './schemas.ts';
import { tableBytes } from './tables.ts';

export const ComparableTable = z.object({
  schema: z.string(),
  name: z.string(),
  /** In the order in which they were added. */
  columns: z.array(z.string()),
  bytes: z.number(),
});
export type ComparableTable = z.output<typeof ComparableTable>;

/** Every table whose rows are replicated, with its columns, the largest first. */
export const comparableTables = (): Sql => sql`
  select n.nspname as schema, c.relname as name,
         array(select a.attname::text from pg_attribute a
                where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as columns,
         ${tableBytes()} as bytes
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
   where c.relkind = 'r' and c.relpersistence = 'p'
     and n.nspname not in (${NOT_USERS})
     and not exists (select from pg_depend d
                      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
   order by bytes desc, 1, 2`;

/**
 * How a row becomes a number of 64 bits. `hash` is quick, but 10 does not have it, and it depends on the encoding; `md5` is the
 * same everywhere.
 * @see https://www.postgresql.org/docs/current/functions-string.html
 */
export type Checksum = 'hash' | 'md5' | 'none';

export const HashProbe = z.object({ hash: z.string() });

/** The hash of a text that every encoding but ASCII writes in its own way: equal on both sides, or `hash` compares nothing. */
export const hashProbe = (): Sql => sql`select hashtextextended('pgconvoy' || chr(233), 0)::text as hash`;

export const TableSum = z.object({ n: z.number(), rows: z.coerce.number(), sum: z.string().nullable() });
export type TableSum = z.output<typeof TableSum>;

/** Rows and checksum of each of these tables, `n` by their place; the order of rows does not matter. */
export const tableSums = (tables: readonly ComparableTable[], checksum: Checksum): Sql => {
  const sums = tables.map(({ schema, name, columns }, n) => {
    const row = fragment`row(${join(columns.map((column) => id(column)))})::text`;
    const number = {
      hash: fragment`sum(hashtextextended(${row}, 0))::text`,
      md5: fragment`sum(('x' || substr(md5(convert_to(${row}, 'UTF8')), 1, 16))::bit(64)::bigint)::text`,
      none: fragment`null::text`,
    }[checksum];
    return fragment`select ${trusted(String(n))} as n, count(*)::float8 as rows, ${number} as sum from only ${id(schema, name)}`;
  });
  return sql`${join(sums, ' union all ')}`;
};
