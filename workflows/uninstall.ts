import { cluster, defineWorkflow, eachDatabase, undo } from '../src/engine/workflow.ts';
import type { Row } from '../src/engine/workflow.ts';
import * as op from '../src/operations/index.ts';

const replicationGone: readonly Row[] = [
  undo(eachDatabase(op.fenceSource)),
  undo(eachDatabase(op.pausePgbouncer, {}, { when: 'pgbouncer' })),
  undo(eachDatabase(op.createSubscription)),
  undo(eachDatabase(op.createSlot)),
  undo(eachDatabase(op.startReverse, {}, { reversed: true })),
  undo(eachDatabase(op.copySnapshot)),
  undo(eachDatabase(op.createPublication)),
  undo(eachDatabase(op.setReplicaIdentity)),
  undo(eachDatabase(op.grantReplicationRole)),
  eachDatabase(op.dropRestoreJournal),
];

const traceless: readonly Row[] = [
  undo(cluster(op.tuneTarget)),
  undo(cluster(op.proveEngine)),
  undo(cluster(op.createReplicationRole)),
  cluster(op.removeLedger),
];

/** Takes away everything of ours from both clusters, by names and ledgers alone. Copied databases and roles stay. */
export const uninstall = defineWorkflow({
  name: 'uninstall',
  title: 'Remove pgconvoy from both clusters',
  rows: [...replicationGone, ...traceless],
});

/** The same, and drops what setup made on the target, as long as it has not been opened. */
export const discard = defineWorkflow({
  name: 'discard',
  title: 'Remove pgconvoy and what it made on the target',
  rows: [...replicationGone, undo(eachDatabase(op.createDatabase)), undo(cluster(op.copyRoles)), ...traceless],
});
