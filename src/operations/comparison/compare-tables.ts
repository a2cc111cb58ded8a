import * as z from 'zod';
import { isAccepted } from '../../engine/finding.ts';
import type { Finding } from '../../engine/finding.ts';
import { definePreflight, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { ComparableTable, comparableTables } from '../../postgres/catalog/comparison.ts';
import { openedDatabase } from '../cutover/opened.ts';
import { isRehearsal } from '../cutover/rehearsal.ts';
import { ComparisonOutput, NOTHING_COMPARED, differenceFindings, mend, outputOf, structure } from './differences.ts';
import type { TableDifference } from './differences.ts';
import { lookForRows } from './look-for-rows.ts';
import { batchesOf } from './pieces.ts';
import { readerOf } from './sides.ts';
import { holdSnapshots } from './snapshots.ts';
import { compareSums } from './sums.ts';
import { commonWriting, counting } from './writing.ts';

/**
 * Before the target opens, it holds the same rows as the fenced source: counts and order-independent checksums of every replicated
 * table, or of those that are small (`comparison`), read on both sides at the same time. Columns are compared by name. What is left for
 * after the opening stays readable as it is now (`compareOpened`).
 * @see https://www.postgresql.org/docs/current/functions-aggregate.html
 */
export const compareTables = definePreflight({
  name: 'compare-tables',
  title: 'Source and target hold the same rows',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: ComparisonOutput,

  async check(context) {
    const { settings } = context;
    const { mode } = settings.comparison;
    if (mode === 'none' || (await openedDatabase(context))) return holds(NOTHING_COMPARED);
    if (mode === 'fast') {
      if (!isRehearsal(context)) await holdSnapshots(context, null);
      return holds(NOTHING_COMPARED);
    }
    const { output, differences, left } = await compareInTime(context);
    // The source goes on while a rehearsal holds the target: only the time it takes tells something.
    if (isRehearsal(context)) return holds({ ...output, differing: 0, differences: [] });
    const findings = differenceFindings(context, differences, (table) => remedy(context, table));
    if (findings.length > 0) return lacks(findings, output);
    if (left.length === 0) return holds(output);
    if (mode === 'strict') return lacks([outOfTime(context, output)], output);
    await holdSnapshots(context, left);
    return holds(output);
  },
});

const remedy = ({ source, target }: OperationContext, table: string): string =>
  `Find out who changed the ${target.side} (its triggers, or somebody who writes there). ${mend(target, table)}; retry the step, or cancel the run, which gives the application its ${source.side} back.`;

function outOfTime({ target, settings }: OperationContext, { left, tables }: ComparisonOutput): Finding {
  return {
    code: 'comparison-unfinished',
    severity: 'block',
    side: target.side,
    database: target.name,
    message: `${left} of ${left + tables} tables were not compared within ${settings.comparison.budget} ms (comparison.budget)`,
    remedy:
      'Raise comparison.budget, and deadlines.outage with it; or set comparison.mode to auto: what is not compared in time is compared right after the opening.',
  };
}

/** Small tables first, until the time is up. */
async function compareInTime(context: OperationContext) {
  const { source, target, settings, progress } = context;
  const { mode, strictUpTo, budget } = settings.comparison;
  const deadline = Date.now() + budget;
  const [tables, present, common] = await Promise.all([
    source.many(ComparableTable, comparableTables()),
    target.many(ComparableTable, comparableTables()),
    commonWriting(context),
  ]);
  const { comparable, differences: missing } = structure(context, tables, present);
  const isNow = ({ bytes }: ComparableTable) => mode !== 'auto' || bytes <= strictUpTo;
  const writing = mode === 'count' ? counting(common) : common;
  const reading = { writing, deadline };
  const batches = await batchesOf(readerOf(source, reading), comparable.filter(isNow));
  const compared = await compareSums(context, { batches, reading, writing });
  const left = [...compared.left, ...comparable.filter((table) => !isNow(table))];
  progress({ done: 1, total: 1, note: `${compared.sums.size} tables compared, ${left.length} left` });
  const found = await lookForRows(context, isRehearsal(context) ? [] : compared.differing, {
    reading: { writing: common },
    writing: common,
  });
  // What was changed on the source alone, and is accepted, was told before the fence.
  const accepted = isAccepted({ code: 'schema-drift', database: source.name }, settings.accept);
  const differences: readonly TableDifference[] = accepted ? found : [...missing, ...found];
  return { output: outputOf(context, writing, { ...compared, left }, differences), differences, left: names(left) };
}

const names = (tables: readonly ComparableTable[]) => tables.map(({ schema, name }) => ({ schema, name }));
