import { approval, cluster, defineWorkflow, eachDatabase } from '../src/engine/workflow.ts';
import type { Row } from '../src/engine/workflow.ts';
import * as op from '../src/operations/index.ts';
import { fix } from './fix.ts';
import { setup } from './setup.ts';
import { start } from './start.ts';
import { stop } from './stop.ts';

/** All databases stream: the servers checked and the engine proven before anything is changed, fix, setup (which checks all), start. */
export const untilStreaming: readonly Row[] = [
  cluster(op.checkClusters, {}, { findings: 'block' }),
  cluster(op.proveEngine, { remember: true }, { findings: 'block' }),
  ...fix.rows,
  ...setup.rows,
  ...start.rows,
];

/** The whole road: until all stream, a person's approval, stop. */
export const upgrade = defineWorkflow({
  name: 'upgrade',
  title: 'Upgrade the cluster',
  rows: [
    ...untilStreaming,
    // Who is asked shall see a target that has caught up, and what was changed meanwhile; nobody is asked where all databases are open already.
    eachDatabase(op.checkDrift),
    eachDatabase(op.awaitCatchUp),
    approval('Switch over now?', 'opened'),
    ...stop.rows,
  ],
  onCancel: stop.onCancel ?? [],
});
