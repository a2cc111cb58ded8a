import { cluster, defineWorkflow, eachDatabase } from '../src/engine/workflow.ts';
import * as op from '../src/operations/index.ts';

/** Looks at both clusters and at each database, all findings at once. Changes nothing. */
export const check = defineWorkflow({
  name: 'check',
  title: 'Check whether the cluster can be upgraded',
  rows: [cluster(op.checkClusters), eachDatabase(op.checkDatabase)],
});
