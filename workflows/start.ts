import { barrier, cluster, defineWorkflow, eachDatabase, undo } from '../src/engine/workflow.ts';
import type { Row } from '../src/engine/workflow.ts';
import * as op from '../src/operations/index.ts';

/** Holds for the target server while databases are copied. */
export const tuneTarget = cluster(op.tuneTarget);

/**
 * The way of one database from its first row to its last index. The slot comes right before the copy, so that a database that waits
 * for its turn holds no WAL on the source.
 */
export const copyDatabase: readonly Row[] = [
  eachDatabase(op.copySnapshot),
  eachDatabase(op.createSlot),
  eachDatabase(op.createSubscription),
  eachDatabase(op.copyTables),
  eachDatabase(op.buildIndexes),
  // These can wait until all rows stream: the sooner they do, the less WAL the slots hold.
  eachDatabase(op.copyLargeObjects, {}, { yields: true }),
  eachDatabase(op.analyzeTables, {}, { yields: true }),
];

/** Copies every database and lets it stream. */
export const start = defineWorkflow({
  name: 'start',
  title: 'Copy every database and start streaming',
  rows: [tuneTarget, ...copyDatabase, barrier('Every database is streaming'), undo(tuneTarget)],
});
