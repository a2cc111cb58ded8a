import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import { chosenTables } from '../../engine/chosen-tables.ts';
import type { Finding } from '../../engine/finding.ts';
import { definePreflight, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { ComparableTable, comparableTables } from '../../postgres/catalog/comparison.ts';
import type { Database } from '../../postgres/database.ts';
import { tableKey } from '../../replication/table-names.ts';
import { openedDatabase } from '../cutover/opened.ts';
import { pairOf } from '../replication/pair.ts';
import { notRunning, untilCaughtUp } from './catch-up.ts';
import {
  ComparisonOutput,
  differenceFindings,
  differencesOf,
  mend,
  nameOfTable,
  outputOf,
  structure,
} from './differences.ts';
import type { FoundRows } from './differences.ts';
import { batchesOf, keysOf } from './pieces.ts';
import { settle } from './settle.ts';
import { readerOf } from './sides.ts';
import type { Sides } from './sides.ts';
import { compareSums } from './sums.ts';
import type { DifferingPiece } from './sums.ts';
import { commonWriting } from './writing.ts';

/**
 * Both sides hold the same rows, while writers write and rows travel: what differs at first sight is read again, row by row, after the
 * target has caught up, until it is the same or proven never to become so. Where rows travel back, from the new cluster to the old.
 * @see https://www.postgresql.org/docs/current/logical-replication-conflicts.html
 */
export const compareLive = definePreflight({
  name: 'compare-live',
  title: 'What streams arrives as it was',
  scope: 'database',
  queue: 'copy',
  input: z.strictObject({}),
  output: ComparisonOutput,

  async check(given) {
    const { context, tables } = await streaming(given);
    const wanted = tables.filter(chosenTables(context.run.options));
    const { output, findings } = await compareStreaming(context, wanted);
    return findings.length > 0 ? lacks(findings, output) : holds(output);
  },
});

/** The direction in which rows travel, and what does. */
async function streaming(given: OperationContext) {
  const context = (await openedDatabase(given)) ? wayBack(given) : given;
  const subscription = await context.engine.subscription(pairOf(context));
  const { name } = context.source;
  if (!subscription.exists) {
    throw new PgconvoyError(
      context === given
        ? `target, database "${name}": it has no subscription, so no rows travel that could be compared`
        : `target, database "${name}": applications use it, and no rows travel back to the source, so the two go their own ways`,
      {
        hint:
          context === given
            ? 'Run pgconvoy start first.'
            : 'What was compared at the cutover is in the report: pgconvoy report. Rows travel back with cutover.reverse.',
      },
    );
  }
  if (!subscription.running) throw notRunning(context.target);
  const arrived = new Set(subscription.tables.filter(({ state }) => state === 'streaming').map(tableKey));
  const tables = await context.source.many(ComparableTable, comparableTables());
  return { context, tables: tables.filter((table) => arrived.has(tableKey(table))) };
}

function wayBack(context: OperationContext): OperationContext {
  const { source, target, sourceCluster, targetCluster, sourceLedger, targetLedger } = context;
  return {
    ...context,
    source: target,
    target: source,
    sourceCluster: targetCluster,
    targetCluster: sourceCluster,
    sourceLedger: targetLedger,
    targetLedger: sourceLedger,
  };
}

async function compareStreaming(context: OperationContext, tables: readonly ComparableTable[]) {
  const { source, target, settings, signal } = context;
  const [present, writing] = await Promise.all([
    target.many(ComparableTable, comparableTables()),
    commonWriting(context),
  ]);
  const { comparable, differences: missing } = structure(context, tables, present);
  // Somebody may hold a table for long: that is waited for, but not for ever.
  const reading = { writing, lockTimeoutMs: settings.deadlines.lock };
  const there = readerOf(source, reading);
  const keys = await keysOf(there, comparable);
  const found: FoundRows[] = [];
  const unsettled = new Set<ComparableTable>();
  await using lookout = watching(source);
  const settleEach = async (sides: Sides, differing: readonly DifferingPiece[]) => {
    for (const each of differing) {
      const key = keys.get(tableKey(each.piece.table));
      const caughtUp = () => untilCaughtUp({ ...context, source: lookout.session });
      const { rows, whole } = await settle({ sides, caughtUp, key, writing, signal }, each);
      if (rows.length > 0) found.push({ differing: each, rows, whole: true });
      if (!whole) unsettled.add(each.piece.table);
    }
    return [];
  };
  const batches = await batchesOf(there, comparable);
  const compared = await compareSums(context, { batches, reading, writing, settle: settleEach });
  const differences = [...missing, ...differencesOf(context, found, keys)];
  return {
    output: outputOf(context, writing, { ...compared, left: [...unsettled] }, differences),
    findings: [
      ...differenceFindings(context, differences, (table) => remedy(context, table)),
      ...(unsettled.size > 0 ? [changing(source, [...unsettled])] : []),
    ],
  };
}

const watching = (database: Database) => {
  const session = database.fork();
  return { session, [Symbol.asyncDispose]: () => session.close() };
};

const remedy = ({ target }: OperationContext, table: string): string =>
  `Find out who changed the ${target.side} (its triggers, or somebody who writes there). ${mend(target, table)}.`;

const changing = ({ side, name: database }: Database, tables: readonly ComparableTable[]): Finding => ({
  code: 'comparison-unfinished',
  severity: 'warning',
  side,
  database,
  message: `rows of ${tables.slice(0, 5).map(nameOfTable).join(', ')}${tables.length > 5 ? ` and ${tables.length - 5} more tables` : ''} change so often that they could not be compared one by one; no difference was found in them`,
  remedy: 'Compare these tables again in a quieter time: pgconvoy compare --tables TABLE',
});
