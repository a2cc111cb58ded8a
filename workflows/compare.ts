import { defineWorkflow, eachDatabase } from '../src/engine/workflow.ts';
import * as op from '../src/operations/index.ts';

/** Compares both sides while writers write. Changes nothing. */
export const compare = defineWorkflow({
  name: 'compare',
  title: 'Compare both sides',
  rows: [eachDatabase(op.compareLive)],
});
