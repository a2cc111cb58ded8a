import type { OperationContext } from '../../engine/operation.ts';
import { UserTable, userTables } from '../../postgres/catalog/tables.ts';
import type { TableName } from '../../replication/engine.ts';
import { tableKey } from '../../replication/table-names.ts';

export interface Sizes {
  /** Bytes on the source. */
  readonly total: number;
  /** By table (tableKey). */
  readonly of: ReadonlyMap<string, { readonly bytes: number; readonly rows: number }>;
}

/** How large the tables are on the source, without their indexes. */
export async function tableSizes(
  { source }: Pick<OperationContext, 'source'>,
  tables: readonly TableName[],
): Promise<Sizes> {
  const wanted = new Set(tables.map(tableKey));
  const found = (await source.many(UserTable, userTables())).filter((table) => wanted.has(tableKey(table)));
  return {
    total: found.reduce((sum, { bytes }) => sum + bytes, 0),
    of: new Map(found.map((table) => [tableKey(table), table])),
  };
}
