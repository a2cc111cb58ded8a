import {
  IdentityCandidate,
  identityCandidates,
  IncomparableColumns,
  incomparableColumns,
} from '../../postgres/catalog/identities.ts';
import { isReplicated, UserTable, userTables } from '../../postgres/catalog/tables.ts';
import type { Database } from '../../postgres/database.ts';

/** What would identify a table's rows: an index that is there, the whole row, or nothing that is there. */
type IdentityChoice =
  | { readonly by: 'index'; readonly index: string }
  | { readonly by: 'full' }
  /** Not even the whole row, since these columns (`name type`) know no equality. */
  | { readonly by: 'nothing'; readonly columns: readonly string[] };

export interface TableToIdentify {
  readonly table: UserTable;
  readonly choice: IdentityChoice;
}

export interface Identities {
  /** Tables whose rows are replicated. */
  readonly tables: readonly UserTable[];
  /** Those of them without a usable replica identity, and what would serve. */
  readonly lacking: readonly TableToIdentify[];
}

/** Replica identities of one database: three queries, however many tables there are. */
export async function identitiesOf(database: Database, major: number): Promise<Identities> {
  const tables = (await database.many(UserTable, userTables())).filter(isReplicated);
  if (tables.every((table) => table.identityIndex !== null)) return { tables, lacking: [] };
  const candidates = await database.many(IdentityCandidate, identityCandidates(major));
  const incomparable = await database.many(IncomparableColumns, incomparableColumns(major));
  return { tables, lacking: chooseIdentities(tables, candidates, incomparable) };
}

/**
 * An index before the whole row: the target finds a row by it without reading the table, and less WAL is written.
 * @see https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-REPLICA-IDENTITY
 */
export function chooseIdentities(
  tables: readonly UserTable[],
  candidates: readonly IdentityCandidate[],
  incomparable: readonly IncomparableColumns[],
): TableToIdentify[] {
  const best = new Map<number, IdentityCandidate>();
  for (const candidate of candidates) {
    const known = best.get(candidate.table);
    if (!known || candidate.columns < known.columns) best.set(candidate.table, candidate);
  }
  const columns = new Map(incomparable.map((row) => [row.table, row.columns]));
  return tables
    .filter((table) => table.identityIndex === null && !(table.identity === 'f' && !columns.has(table.oid)))
    .map((table) => {
      const index = best.get(table.oid)?.index;
      if (index !== undefined) return { table, choice: { by: 'index', index } };
      const without = columns.get(table.oid);
      return { table, choice: without ? { by: 'nothing', columns: without } : { by: 'full' } };
    });
}
