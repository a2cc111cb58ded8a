import { defineWorkflow, eachDatabase } from '../src/engine/workflow.ts';
import * as op from '../src/operations/index.ts';
import { stop } from './stop.ts';

/**
 * The cutover in the other direction: the same rows, in a run that goes back. Replication from the old cluster to the new one is there
 * again at its end, so that `stop` can go forward once more.
 */
export const rollback = defineWorkflow({
  name: 'rollback',
  title: 'Switch back to the source',
  options: { back: true },
  rows: [eachDatabase(op.checkWayBack, {}, { findings: 'block' }), ...stop.rows],
  onCancel: stop.onCancel ?? [],
});
