import type { TableName } from './engine.ts';

/** One text per table, for sets and maps. */
export const tableKey = ({ schema, name }: TableName): string => JSON.stringify([schema, name]);

/** The tables that are not among others. */
export function tablesWithout<T extends TableName>(tables: readonly T[], others: readonly TableName[]): T[] {
  const known = new Set(others.map(tableKey));
  return tables.filter((table) => !known.has(tableKey(table)));
}
