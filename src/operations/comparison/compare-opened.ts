import * as z from 'zod';
import type { Finding } from '../../engine/finding.ts';
import { definePreflight, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import {
  ComparableTable,
  RewrittenTable,
  comparableTables,
  rewrittenTables,
} from '../../postgres/catalog/comparison.ts';
import { tableKey } from '../../replication/table-names.ts';
import {
  ComparisonOutput,
  NOTHING_COMPARED,
  differenceFindings,
  nameOfTable,
  outputOf,
  structure,
} from './differences.ts';
import { lookForRows } from './look-for-rows.ts';
import { batchesOf } from './pieces.ts';
import { readerOf } from './sides.ts';
import type { Read } from './sides.ts';
import { areHeld, dropSnapshots, keepFound, snapshotNote } from './snapshots.ts';
import type { SnapshotNote } from './snapshots.ts';
import { compareSums } from './sums.ts';
import { commonWriting, counting } from './writing.ts';

/**
 * What the comparison before the opening has left: both sides are read as they were then, from snapshots that were taken behind the
 * fence, while applications use the target. What can no longer be read is told, never taken for equal.
 * @see https://www.postgresql.org/docs/current/sql-set-transaction.html
 */
export const compareOpened = definePreflight({
  name: 'compare-opened',
  title: 'The target was opened with the same rows',
  scope: 'database',
  queue: 'copy',
  input: z.strictObject({}),
  output: ComparisonOutput,

  async check(context) {
    const note = await snapshotNote(context);
    // One of an earlier cutover tells nothing of this one.
    if (note?.run !== context.run.id) return holds(NOTHING_COMPARED);
    // An attempt before has found it; from the rows of now it could not be told again.
    if (note.found) return lacks(note.found);
    if (!(await areHeld(context, note))) {
      await dropSnapshots(context);
      return lacks([lost(context, note)], { ...NOTHING_COMPARED, left: note.left?.length ?? 0 });
    }
    const { output, findings } = await compareHeld(context, note);
    const differ = findings.some(({ severity }) => severity === 'block');
    await (differ ? keepFound(context, note, findings) : dropSnapshots(context));
    return findings.length > 0 ? lacks(findings, output) : holds(output);
  },
});

async function compareHeld(context: OperationContext, { left, source, target }: SnapshotNote) {
  const common = await commonWriting(context);
  const snapshots = { source: source.name, target: target.name };
  const reading = { writing: common, snapshots };
  const there = readerOf(context.source, { writing: common, snapshot: source.name });
  const here = readerOf(context.target, { writing: common, snapshot: target.name });
  const tables = await there(ComparableTable, comparableTables());
  const present = await here(ComparableTable, comparableTables());
  const rewritten = await rewrittenSince(here);
  const wanted = left && new Set(left.map(tableKey));
  const { comparable, differences: missing } = structure(
    context,
    wanted ? tables.filter((table) => wanted.has(tableKey(table))) : tables,
    present,
  );
  const readable = comparable.filter((table) => !rewritten.has(tableKey(table)));
  const writing = context.settings.comparison.mode === 'count' ? counting(common) : common;
  const batches = await batchesOf(there, readable);
  const compared = await compareSums(context, { batches, reading, writing });
  // Somebody may have emptied or rewritten one while it was read: what was seen then is no proof.
  const now = await rewrittenSince(here);
  const gone = comparable.filter((table) => now.has(tableKey(table)));
  const differing = compared.differing.filter(({ piece }) => !now.has(tableKey(piece.table)));
  const found = await lookForRows(context, differing, { reading, writing: common });
  const differences = [...missing, ...found];
  for (const table of gone) compared.sums.delete(table);
  return {
    output: outputOf(context, writing, { ...compared, left: gone }, differences),
    findings: [
      ...differenceFindings(context, differences, () => remedy(context)),
      ...(gone.length > 0 ? [unreadable(context, gone)] : []),
    ],
  };
}

/** By tableKey, tables that were emptied, rewritten or dropped on the target since: an old snapshot sees them empty, or not at all. */
async function rewrittenSince(read: Read): Promise<ReadonlySet<string>> {
  return new Set((await read(RewrittenTable, rewrittenTables())).map(tableKey));
}

/** Going back compares once more, behind a fence of its own, and finds the same. */
function remedy({ source, target, run }: OperationContext): string {
  const stay = `To stay: correct the rows by hand on the ${target.side}; or, to leave it at that, accept rows-differ in the configuration, with the reason. Then retry the step.`;
  if (run.options['reverse'] !== true) return `The ${source.side} is as it was when it was left. ${stay}`;
  const back = source.side === 'source' ? 'rollback' : 'stop';
  return (
    `The ${source.side} has every row, also what is written on the ${target.side} now. ${stay} To go back: accept rows-differ in the configuration, with the reason, ` +
    `restart the workers, then pgconvoy cancel ${run.id} and pgconvoy ${back}.`
  );
}

const lost = ({ target }: OperationContext, { left }: SnapshotNote): Finding => ({
  code: 'comparison-unfinished',
  severity: 'warning',
  side: target.side,
  database: target.name,
  message: `${left ? `${left.length} tables were` : 'Nothing was'}${left ? ' not' : ''} compared: the worker that kept what both sides held at the opening has ended, and applications have been writing since`,
  remedy: 'Where rows travel back, pgconvoy compare compares both sides as they are now.',
});

const unreadable = ({ source, target }: OperationContext, tables: readonly ComparableTable[]): Finding => ({
  code: 'comparison-unfinished',
  severity: 'warning',
  side: target.side,
  database: target.name,
  message: `applications have emptied, rewritten or dropped ${tables.slice(0, 5).map(nameOfTable).join(', ')}${tables.length > 5 ? ` and ${tables.length - 5} more tables` : ''} since the opening: they could not be compared`,
  remedy: `Nothing, if that is what they should do; the ${source.side} still has the rows of before.`,
});
