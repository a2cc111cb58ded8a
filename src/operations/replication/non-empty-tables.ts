import * as z from 'zod';
import type { Database } from '../../postgres/database.ts';
import { fragment, id, join, lit, sql } from '../../postgres/sql.ts';
import type { TableName } from '../../replication/engine.ts';

const Table = z.object({ schema: z.string(), name: z.string() });

/** Tables looked into by one statement. */
const AT_ONCE = 200;

/** Those of the tables that hold at least one row. */
export async function nonEmptyTables(database: Database, tables: readonly TableName[]): Promise<TableName[]> {
  if (tables.length === 0) return [];
  // A heap without pages needs no look: almost all of them, before a copy.
  const withPages = await database.many(
    Table,
    // OFFSET: else the size is asked of every file that the catalog knows.
    sql`select schema, name
          from (select t.schema, t.name, c.oid
                  from unnest(${tables.map((t) => t.schema)}::text[], ${tables.map((t) => t.name)}::text[]) as t (schema, name)
                  join pg_namespace n on n.nspname = t.schema
                  join pg_class c on c.relnamespace = n.oid and c.relname = t.name
                offset 0) wanted
         where pg_relation_size(oid) > 0
         order by 1, 2`,
  );
  const filled: TableName[] = [];
  for (let start = 0; start < withPages.length; start += AT_ONCE) {
    const looks = withPages
      .slice(start, start + AT_ONCE)
      .map(
        ({ schema, name }) =>
          fragment`(select ${lit(schema)} as schema, ${lit(name)} as name from only ${id(schema, name)} limit 1)`,
      );
    filled.push(...(await database.many(Table, sql`${join(looks, ' union all ')}`)));
  }
  return filled;
}
