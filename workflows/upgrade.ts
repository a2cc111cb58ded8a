import { approval, barrier, cluster, defineWorkflow, eachDatabase, undo } from '../src/engine/workflow.ts';
import type { Row } from '../src/engine/workflow.ts';
import * as op from '../src/operations/index.ts';
import { fix } from './fix.ts';
import { prepareClusters, prepareDatabase } from './setup.ts';
import { copyDatabase, tuneTarget } from './start.ts';
import { stop } from './stop.ts';

/**
 * All databases stream: both clusters and each database checked and the engine proven before anything is changed; then what fix, setup
 * and start do, in one lane per database: none waits for another between its replica identities and its last index.
 */
export const untilStreaming: readonly Row[] = [
  cluster(op.checkClusters, {}, { findings: 'block' }),
  cluster(op.proveEngine, { remember: true }, { findings: 'block', alongside: true }),
  eachDatabase(op.checkDatabase, { fixFollows: true }, { findings: 'block' }),
  barrier('Nothing blocks the upgrade'),

  ...prepareClusters,
  tuneTarget,
  ...fix.rows,
  ...prepareDatabase,
  ...copyDatabase,
  barrier('Every database is streaming'),
  undo(tuneTarget),
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
