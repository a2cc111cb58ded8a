import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import {
  addEmptyColumn,
  addFilledColumn,
  createSurrogateIndex,
  createSurrogateSequence,
  dropSurrogateColumn,
  dropSurrogateIndex,
  fillPages,
  fillRest,
  forbidEmpty,
  makeKey,
  SurrogateState,
  surrogateState,
  SurrogateTable,
  surrogateTables,
  validateNotEmpty,
} from '../../postgres/catalog/surrogate-keys.ts';
import type { UserTable } from '../../postgres/catalog/tables.ts';
import { describeTransaction, openTransactions, WriteTransaction } from '../../postgres/catalog/transactions.ts';
import type { Database } from '../../postgres/database.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import { id, sql } from '../../postgres/sql.ts';
import type { Sql } from '../../postgres/sql.ts';
import { schemaState } from '../schema/schema-state.ts';
import { eachTable, nameOf } from './each-table.ts';

/** The kind of note that a table got a key column: undo then looks for them in its whole database, on both sides. */
export const SURROGATE_KEY = 'surrogate-key';

/** 2 MB: the rows of a batch are locked for some hundredths of a second. */
export const BATCH_PAGES = 256;
/** Rows filled by one statement where they are few and far between. */
const ROWS_AT_ONCE = 10_000;

export interface TableToKey extends UserTable {
  readonly inBatches: boolean;
}

/**
 * Each table has a key column of ours afterwards, filled, and the primary key where the table had none.
 * @throws PgconvoyError that names who holds a lock (`wait`), or where the target has the schema without the column
 */
export async function addSurrogateKeys(
  context: OperationContext,
  tables: readonly TableToKey[],
  batchPages: number,
): Promise<void> {
  const { source, sourceLedger, log } = context;
  await refuseBehindTheCopy(context, tables);
  await eachTable(context, source, tables, {
    what: 'the key column',
    async act(table) {
      await sourceLedger.record({ kind: SURROGATE_KEY, database: source.name, object: nameOf(table) }, null);
      if (table.inBatches) await addInBatches(context, table, batchPages);
      else await addByRewrite(context, table);
      log.info({ table: nameOf(table), inBatches: table.inBatches }, 'key column added');
    },
  });
}

/** The target has its schema from before: a column that is only on the source would stop its replication. */
async function refuseBehindTheCopy(context: OperationContext, [first]: readonly TableToKey[]): Promise<void> {
  if (!first || (await schemaState(context)) === 'nothing') return;
  const { source } = context;
  throw new PgconvoyError(
    `source, database "${source.name}": ${nameOf(first)} would get a key column that the target does not have: its schema has been copied already`,
    {
      hint: 'Either choose something else for the table (fix.tables), or begin this database anew: pgconvoy uninstall --drop-target-databases, then fix, setup and start, each with --databases.',
    },
  );
}

/** Drops our key columns, wherever they are in this database. */
export async function dropSurrogateKeys(context: OperationContext, database: Database): Promise<void> {
  const tables = await database.many(SurrogateTable, surrogateTables());
  await eachTable(context, database, tables, {
    what: 'dropping the key column',
    async act(table) {
      await database.run(dropSurrogateColumn(table), { lockTimeoutMs: context.settings.deadlines.lockTimeout });
      context.log.info({ table: nameOf(table), side: database.side }, 'key column dropped');
    },
  });
}

/** One transaction that rewrites the table under an exclusive lock. */
async function addByRewrite(context: OperationContext, table: UserTable): Promise<void> {
  const { source } = context;
  const state = await stateOf(source, table);
  // A larger table has shrunk since its column was begun.
  if (state.hasColumn) return addInBatches(context, table, BATCH_PAGES);
  await locked(context, source, table, [
    ...createSurrogateSequence(table, state.owner),
    ...addFilledColumn(table, state.hasPrimaryKey),
  ]);
}

/**
 * The same without a rewrite under a lock: an empty column with a default, short transactions that fill it, an index built beside
 * the traffic, and a constraint that spares the last step its reading. Killed anywhere, it goes on where the catalog says.
 * @see https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
 * @see https://www.postgresql.org/docs/current/sql-altertable.html
 */
async function addInBatches(context: OperationContext, table: UserTable, batchPages: number): Promise<void> {
  const session = context.source.fork();
  try {
    // No trigger of the application's takes our update for one of its own; few rows are found by the index, also without statistics.
    await session.run(sql`set session_replication_role = replica`);
    await session.run(sql`set enable_seqscan = off`);
    const { major } = await context.sourceCluster.facts();
    const work = { context, session, table, major };
    let state = await stateOf(session, table);
    if (!state.hasColumn) {
      await locked(context, session, table, [...createSurrogateSequence(table, state.owner), ...addEmptyColumn(table)]);
      state = await stateOf(session, table);
    }
    if (state.index !== 'valid') {
      await fillAll(work, state, batchPages);
      await buildIndex(work, state.index === 'invalid');
    }
    if (state.notNull) return;
    if (state.check === 'none') await closeGaps(work);
    if (state.check !== 'validated') await session.run(validateNotEmpty(table), shortly(context));
    await locked(context, session, table, makeKey(table, state.hasPrimaryKey));
  } finally {
    await session.close();
  }
}

interface Work {
  readonly context: OperationContext;
  readonly session: Database;
  readonly table: UserTable;
  readonly major: number;
}

const shortly = ({ settings }: OperationContext) => ({ lockTimeoutMs: settings.deadlines.lockTimeout });

async function stateOf(database: Database, table: UserTable): Promise<SurrogateState> {
  return database.one(SurrogateState, surrogateState(table.oid));
}

/** All of it under one lock, that is asked for once and briefly. */
async function locked(
  context: OperationContext,
  database: Database,
  table: UserTable,
  statements: readonly Sql[],
): Promise<void> {
  await database.transaction(async () => {
    await database.run(sql`lock table only ${id(table.schema, table.name)} in access exclusive mode`, shortly(context));
    for (const statement of statements) await database.run(statement);
  });
}

async function fillAll(
  { context, session, table, major }: Work,
  { pages, itemsPerPage }: SurrogateState,
  batchPages: number,
): Promise<void> {
  const { signal, progress } = context;
  const pageBytes = pages === 0 ? 0 : table.bytes / pages;
  let rows = 0;
  for (let from = 0; from < pages;) {
    signal.throwIfAborted();
    const done = from * pageBytes;
    progress({
      done,
      total: pages * pageBytes,
      unit: 'bytes',
      rows,
      note: `filling the key column of ${nameOf(table)}`,
    });
    const { statement, to } = fillPages(table, major, { from, most: batchPages, itemsPerPage });
    rows += await session.run(statement);
    from = to;
  }
}

async function buildIndex({ context, session, table }: Work, isBroken: boolean): Promise<void> {
  const { progress, settings, signal } = context;
  progress({ done: 0, total: 1, note: `building the index on the key column of ${nameOf(table)}` });
  // Neither of the two makes anybody wait, so they may take their time.
  const patiently = { lockTimeoutMs: settings.deadlines.lock };
  try {
    if (isBroken) await session.run(dropSurrogateIndex(table), patiently);
    await session.run(createSurrogateIndex(table), patiently);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof DatabaseError && error.sqlstate === '55P03')) throw error;
    throw await heldUpBy(context.source, table, error);
  }
}

/** Rows that were locked when their turn came are filled; the last of them under the lock behind which none can be made any more. */
async function closeGaps({ context, session, table, major }: Work): Promise<void> {
  let filled = ROWS_AT_ONCE;
  while (filled === ROWS_AT_ONCE) filled = await session.run(fillRest(table, major, ROWS_AT_ONCE));
  await session.transaction(async () => {
    await session.run(sql`lock table only ${id(table.schema, table.name)} in access exclusive mode`, shortly(context));
    filled = ROWS_AT_ONCE;
    while (filled === ROWS_AT_ONCE) filled = await session.run(fillRest(table, major, ROWS_AT_ONCE));
    await session.run(forbidEmpty(table));
  });
}

async function heldUpBy(database: Database, table: UserTable, cause: unknown): Promise<PgconvoyError> {
  const open = await database.many(WriteTransaction, openTransactions());
  const named = open.slice(0, 5).map(describeTransaction).join('; ');
  return new PgconvoyError(
    `${database.side}, database "${database.name}": the index on the key column of ${nameOf(table)} waits for transactions that began before it: ${named === '' ? 'they have just ended' : named}`,
    {
      hint: open[0]?.pid
        ? `It is tried again until the deadline; to help, on the ${database.side}: SELECT pg_terminate_backend(${open[0].pid});`
        : 'It is tried again until the deadline.',
      disposition: 'wait',
      cause,
    },
  );
}
