import * as z from 'zod';
import type { Database } from '../../postgres/database.ts';
import { sql } from '../../postgres/sql.ts';
import type { TableName } from '../../replication/engine.ts';
import { tableKey } from '../../replication/table-names.ts';

const Columns = z.object({ schema: z.string(), name: z.string(), columns: z.array(z.string()) });

/** By table (tableKey), the columns that replication carries, so not generated ones; attgenerated came with 12. */
export async function replicatedColumns(database: Database, tables: readonly TableName[]) {
  const rows = await database.many(
    Columns,
    sql`select t.schema, t.name, array_agg(a.attname::text order by a.attnum) as columns
          from unnest(${tables.map((t) => t.schema)}::text[], ${tables.map((t) => t.name)}::text[]) as t (schema, name)
          join pg_namespace n on n.nspname = t.schema
          join pg_class c on c.relnamespace = n.oid and c.relname = t.name
          join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                             and coalesce(to_json(a)->>'attgenerated', '') = ''
         group by 1, 2`,
  );
  return new Map(rows.map((row) => [tableKey(row), row]));
}
