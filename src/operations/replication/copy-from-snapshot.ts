import * as z from 'zod';
import { DeadlineExceeded } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { copyRows } from '../../postgres/copy.ts';
import type { Database } from '../../postgres/database.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import { fragment, id, join, lit, sql } from '../../postgres/sql.ts';
import type { ExportedSnapshot } from '../../postgres/replication-session.ts';
import type { TableName } from '../../replication/engine.ts';
import { tableKey } from '../../replication/table-names.ts';
import { waitsFor } from './locked-tables.ts';
import { replicatedColumns } from './replicated-columns.ts';
import { tableSizes } from './table-sizes.ts';

/** One pair of sessions more for each so many bytes, up to budgets.tableWorkers: below, it costs more than it brings. */
const SESSION_BYTES = 16 * 1_048_576;
const TICK_MS = 500;
const LOCKED_AT_ONCE = 500;

export interface TableToCopy extends TableName {
  readonly columns: readonly string[];
  /** On the source. */
  readonly bytes: number;
}

/** The tables with what COPY needs, largest first. */
export async function tablesToCopy(
  context: OperationContext,
  tables: readonly TableName[],
): Promise<readonly TableToCopy[]> {
  const columns = await replicatedColumns(context.source, tables);
  const sizes = await tableSizes(context, tables);
  return tables
    .map(({ schema, name }) => {
      const key = tableKey({ schema, name });
      return { schema, name, columns: columns.get(key)?.columns ?? [], bytes: sizes.of.get(key)?.bytes ?? 0 };
    })
    .toSorted((one, other) => other.bytes - one.bytes);
}

/**
 * Streams every table as it was in the snapshot from the source to the target, through this process, in a few sessions at once. Each
 * commits once, at its end. Without a snapshot, when nobody writes any more: as it is, and with its statistics, which nothing would
 * gather before applications come.
 * @throws DeadlineExceeded when no byte has come for deadlines.copyStall
 */
export async function copyFromSnapshot(
  context: OperationContext,
  tables: readonly TableToCopy[],
  snapshot?: ExportedSnapshot,
): Promise<void> {
  const { source, target, sourceCluster, targetCluster, settings } = context;
  const lockTimeoutMs = settings.deadlines.lockTimeout;
  const total = tables.reduce((sum, { bytes }) => sum + bytes, 0);
  const sessions = Math.min(settings.budgets.tableWorkers, 1 + Math.floor(total / SESSION_BYTES));
  const failed = new AbortController();
  const { encoding } = await source.one(Encoding, sql`select getdatabaseencoding() as encoding`);
  // What the job has used so far, these use next.
  await Promise.all([source.close(), target.close()]);
  const here = sourceCluster.during(failed.signal);
  const there = targetCluster.during(failed.signal);
  const watch = watchProgress(context, total, (quiet) => failed.abort(stalled(source.name, quiet)));
  const queue = [...tables];
  const first = { from: here.database(source.name), to: there.database(target.name) };
  const copyQueue = async ({ from, to }: Sessions) => {
    try {
      await reading(from, { tables, snapshot, lockTimeoutMs }, () =>
        writing(to, lockTimeoutMs, async () => {
          for (let table = queue.shift(); table; table = queue.shift()) {
            await copyTable({ from, to }, table, encoding, watch.moved);
            if (!snapshot) await to.run(sql`analyze ${id(table.schema, table.name)}`);
          }
        }),
      );
    } catch (error) {
      // What the others do is of no use any more.
      failed.abort(error);
      throw error;
    }
  };
  const all = [first, ...Array.from({ length: sessions - 1 }, () => forked(first))];
  try {
    await Promise.all(all.map(copyQueue));
  } catch (error) {
    context.signal.throwIfAborted();
    throw await explained(context, tables, failed.signal.reason ?? error);
  } finally {
    watch.stop();
    await Promise.all(all.slice(1).flatMap(({ from, to }) => [from.close(), to.close()]));
    await Promise.all([here.close(), there.close()]);
  }
}

interface Sessions {
  readonly from: Database;
  readonly to: Database;
}
const forked = ({ from, to }: Sessions): Sessions => ({ from: from.fork(), to: to.fork() });

/** How many bytes have moved, told now and then; `onQuiet` when there were none for deadlines.copyStall. */
function watchProgress(
  { progress, settings }: OperationContext,
  total: number,
  onQuiet: (milliseconds: number) => void,
) {
  let done = 0;
  let at = Date.now();
  const tick = () => {
    progress({ done: Math.min(done, total), total, unit: 'bytes', note: 'copying rows' });
    const quiet = Date.now() - at;
    if (quiet > settings.deadlines.copyStall) onQuiet(quiet);
  };
  const timer = setInterval(tick, TICK_MS);
  return {
    moved(bytes: number) {
      done += bytes;
      at = Date.now();
    },
    stop: () => clearInterval(timer),
  };
}

const stalled = (database: string, quiet: number) =>
  new DeadlineExceeded(`database "${database}": the copy has not come on for ${Math.round(quiet / 1_000)} s`, {
    hint: 'See that both servers answer and that the target has disk left. Then retry the step.',
  });

const Encoding = z.object({ encoding: z.string() });

/** Numbers as text that every major reads back to the same value. */
const EXACT = fragment`set local extra_float_digits = 3`;

/**
 * A transaction that sees the snapshot. All tables are locked before the first is read, so that the copy itself never waits.
 * @see https://www.postgresql.org/docs/current/sql-set-transaction.html
 */
async function reading(
  database: Database,
  {
    tables,
    snapshot,
    lockTimeoutMs,
  }: {
    readonly tables: readonly TableName[];
    readonly snapshot: ExportedSnapshot | undefined;
    readonly lockTimeoutMs: number;
  },
  body: () => Promise<void>,
): Promise<void> {
  await database.transaction(async () => {
    // In one message: nothing of it needs an answer.
    await database.run(
      sql`set transaction isolation level repeatable read, read only${
        snapshot ? fragment`; set transaction snapshot ${lit(snapshot.name)}` : fragment``
      }; set local lock_timeout = ${lit(String(lockTimeoutMs))}; ${EXACT}`,
    );
    for (let start = 0; start < tables.length; start += LOCKED_AT_ONCE) {
      const some = tables.slice(start, start + LOCKED_AT_ONCE);
      await database.run(
        sql`lock table ${join(some.map((table) => fragment`only ${id(table.schema, table.name)}`))} in access share mode`,
      );
    }
    await body();
  });
}

/** A transaction in which nothing fires, as when a subscription's worker writes: an earlier copy has left keys and triggers. */
async function writing(database: Database, lockTimeoutMs: number, body: () => Promise<void>): Promise<void> {
  await database.transaction(async () => {
    await database.run(
      sql`set local session_replication_role = replica; set local lock_timeout = ${lit(String(lockTimeoutMs))}; ${EXACT}`,
    );
    await body();
  });
}

/** In the database's own encoding: nothing is converted, whatever its names need. */
async function copyTable(
  { from, to }: Sessions,
  { schema, name, columns }: TableToCopy,
  encoding: string,
  moved: (bytes: number) => void,
): Promise<void> {
  const table = id(schema, name);
  // A table without columns has rows nevertheless.
  const list = columns.length === 0 ? fragment`` : fragment`(${join(columns.map((column) => id(column)))})`;
  await copyRows(
    { from, out: sql`copy ${table} ${list} to stdout with (encoding ${lit(encoding)})` },
    { to, into: sql`copy ${table} ${list} from stdin with (encoding ${lit(encoding)})` },
    moved,
  );
}

/** A lock that was not had in time: who holds it, on whichever side. */
async function explained(
  { source, target }: OperationContext,
  tables: readonly TableName[],
  error: unknown,
): Promise<unknown> {
  if (!(error instanceof DatabaseError && error.sqlstate === '55P03')) return error;
  const database = error.message.startsWith('source') ? source : target;
  const wanted = database === source ? 'AccessShareLock' : 'RowExclusiveLock';
  return waitsFor(database, tables, `copying database "${source.name}"`, error, wanted);
}
