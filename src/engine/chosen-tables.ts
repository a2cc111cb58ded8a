import { matcherOf } from './name-pattern.ts';
import type { OperationContext } from './operation.ts';

/** Options of a run that name tables begin so; there may be several. */
const TABLES = 'tables:';

/** The option of a run that chooses the tables which fit a pattern: TABLE or SCHEMA.TABLE, with * and ?. */
export const tablesOption = (pattern: string): string => `${TABLES}${pattern}`;

/** Whether the run's options choose a table; without any of them, each is. */
export function chosenTables(
  options: OperationContext['run']['options'],
): (table: { readonly schema: string; readonly name: string }) => boolean {
  const patterns = Object.keys(options).flatMap((option) =>
    option.startsWith(TABLES) ? [matcherOf(option.slice(TABLES.length))] : [],
  );
  if (patterns.length === 0) return () => true;
  return ({ schema, name }) => patterns.some((fits) => fits(name) || fits(`${schema}.${name}`));
}
