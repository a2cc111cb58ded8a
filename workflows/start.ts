import { barrier, cluster, defineWorkflow, eachDatabase, undo } from '../src/engine/workflow.ts';
import * as op from '../src/operations/index.ts';

/**
 * Copies every database and lets it stream. The slot comes right before the copy, so that a database that waits for its turn
 * holds no WAL on the source.
 */
export const start = defineWorkflow({
  name: 'start',
  title: 'Copy every database and start streaming',
  rows: [
    cluster(op.tuneTarget),
    eachDatabase(op.copySnapshot),
    eachDatabase(op.createSlot),
    eachDatabase(op.createSubscription),
    eachDatabase(op.copyTables),
    eachDatabase(op.buildIndexes),
    eachDatabase(op.copyLargeObjects),
    // Statistics can wait until all rows stream: the sooner they do, the less WAL the slots hold.
    eachDatabase(op.analyzeTables, {}, { yields: true }),
    barrier('Every database is streaming'),

    undo(cluster(op.tuneTarget)),
  ],
});
