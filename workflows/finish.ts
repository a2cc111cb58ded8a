import { defineWorkflow, eachDatabase, undo } from '../src/engine/workflow.ts';
import * as op from '../src/operations/index.ts';

/** Nothing travels back any more: the new cluster keeps no WAL for the old one, which stays fenced. */
export const finish = defineWorkflow({
  name: 'finish',
  title: 'End the way back',
  rows: [undo(eachDatabase(op.startReverse, {}, { reversed: true }))],
});
