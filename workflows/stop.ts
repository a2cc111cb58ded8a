import { barrier, defineWorkflow, eachDatabase, undo } from '../src/engine/workflow.ts';
import * as op from '../src/operations/index.ts';

/**
 * The cutover. Every database that has caught up is fenced, waits for its last row, and is opened on the target at once: outages
 * are short and one after the other, as many at a time as the budget says.
 */
export const stop = defineWorkflow({
  name: 'stop',
  title: 'Switch over to the target',
  rows: [
    eachDatabase(op.awaitCatchUp),
    // Once more, so that the outage has only the very latest changes to copy.
    eachDatabase(op.copyLargeObjects),
    barrier('Every database has caught up'),

    eachDatabase(op.checkDrift, {}, { findings: 'block' }),
    eachDatabase(op.fenceSource, {}, { startsOutage: true }),
    eachDatabase(op.awaitLsn),
    eachDatabase(op.copySequences),
    eachDatabase(op.copyUnreplicated),
    eachDatabase(op.compareTables),
    eachDatabase(op.createDeferredTriggers),
    eachDatabase(op.copyDatabasePrivileges),
    eachDatabase(op.openTarget),
    barrier('Every database is open on the target'),

    undo(eachDatabase(op.createSubscription)),
    undo(eachDatabase(op.createSlot)),
  ],
  // Databases that are open on the target keep their fence: undo leaves them alone.
  onCancel: [undo(eachDatabase(op.fenceSource))],
});
