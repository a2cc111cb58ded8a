import { cluster, defineWorkflow, eachDatabase } from '../src/engine/workflow.ts';
import * as op from '../src/operations/index.ts';

/** Looks at both clusters and at each database, all findings at once; meanwhile it proves the engine, which leaves nothing behind. */
export const check = defineWorkflow({
  name: 'check',
  title: 'Check whether the cluster can be upgraded',
  rows: [cluster(op.checkClusters), cluster(op.proveEngine, {}, { alongside: true }), eachDatabase(op.checkDatabase)],
});
