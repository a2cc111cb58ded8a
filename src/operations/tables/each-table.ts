import type { OperationContext } from '../../engine/operation.ts';
import type { Database } from '../../postgres/database.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import { id } from '../../postgres/sql.ts';
import type { TableName } from '../../replication/engine.ts';
import { waitsFor } from '../replication/locked-tables.ts';

export const nameOf = ({ schema, name }: TableName): string => id(schema, name).text;

interface Work<T extends TableName> {
  /** What waits where a lock is not had, e.g. "the replica identity"; the table's name follows. */
  readonly what: string;
  /** Changes one table; waits for its lock no longer than `deadlines.lockTimeout`. */
  readonly act: (table: T) => Promise<void>;
}

const LOCK_NOT_AVAILABLE = '55P03';
/** Table, column or object dropped since we looked: then nothing is missing. The check that follows says so. */
const GONE = new Set(['42P01', '42703', '42704']);

/**
 * One table after the other, each with a short wait for its lock, so that nobody queues behind us for long. Tables that are locked are
 * tried once more when all others are done.
 * @throws PgconvoyError (`wait`) that names who holds the locks
 */
export async function eachTable<T extends TableName>(
  { signal, progress }: Pick<OperationContext, 'signal' | 'progress'>,
  database: Database,
  tables: readonly T[],
  { what, act }: Work<T>,
): Promise<void> {
  let locked: { readonly table: T; readonly error: unknown }[] = [];
  let done = 0;
  const change = async (table: T) => {
    signal.throwIfAborted();
    progress({ done, total: tables.length, unit: 'tables', note: nameOf(table) });
    try {
      await act(table);
      done++;
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
      if (error.sqlstate === LOCK_NOT_AVAILABLE) locked.push({ table, error });
      else if (!GONE.has(error.sqlstate)) throw error;
    }
  };
  for (const table of tables) await change(table);
  const again = locked.map(({ table }) => table);
  locked = [];
  for (const table of again) await change(table);
  const [first] = locked;
  if (!first) return;
  const waiting = locked.map(({ table }) => table);
  const of = waiting.length === 1 ? nameOf(first.table) : `${waiting.length} tables`;
  throw await waitsFor(database, waiting, `${what} of ${of}`, first.error, 'AccessExclusiveLock');
}
