import { checkClusters } from './checks/check-clusters.ts';
import { checkDatabase } from './checks/check-database.ts';
import { proveEngine } from './checks/prove-engine.ts';
import { removeLedger } from './clusters/remove-ledger.ts';
import { compareLive } from './comparison/compare-live.ts';
import { compareOpened } from './comparison/compare-opened.ts';
import { compareTables } from './comparison/compare-tables.ts';
import { agreeToOpen } from './cutover/agree-to-open.ts';
import { carryOver } from './cutover/carry-over.ts';
import { awaitLsnTogether } from './cutover/await-lsn-together.ts';
import { awaitLsn } from './cutover/await-lsn.ts';
import { fenceSource } from './cutover/fence-source.ts';
import { fenceTogether } from './cutover/fence-together.ts';
import { finishOpening } from './cutover/finish-opening.ts';
import { openTarget } from './cutover/open-target.ts';
import { copyDatabasePrivileges } from './databases/copy-database-privileges.ts';
import { copyPrivilegesTogether } from './databases/copy-privileges-together.ts';
import { createDatabase } from './databases/create-database.ts';
import { checkDrift } from './drift/check-drift.ts';
import { copyLargeObjects } from './large-objects/copy-large-objects.ts';
import { awaitCatchUp } from './replication/await-catch-up.ts';
import { copySnapshot } from './replication/copy-snapshot.ts';
import { copyTables } from './replication/copy-tables.ts';
import { createPublication } from './replication/create-publication.ts';
import { createSlot } from './replication/create-slot.ts';
import { createSubscription } from './replication/create-subscription.ts';
import { checkWayBack } from './reverse/check-way-back.ts';
import { startReverse } from './reverse/start-reverse.ts';
import { switchReverseTogether } from './reverse/switch-reverse-together.ts';
import { switchReverse } from './reverse/switch-reverse.ts';
import { tuneTarget } from './replication/tune-target.ts';
import { foreseeFence } from './rehearsal/foresee-fence.ts';
import { holdTarget } from './rehearsal/hold-target.ts';
import { copyRoles } from './roles/copy-roles.ts';
import { createReplicationRole } from './roles/create-replication-role.ts';
import { grantReplicationRole } from './roles/grant-replication-role.ts';
import { analyzeTables } from './schema/analyze-tables.ts';
import { buildIndexes } from './schema/build-indexes.ts';
import { copySchema } from './schema/copy-schema.ts';
import { createDeferredTriggers } from './schema/create-deferred-triggers.ts';
import { dropRestoreJournal } from './schema/drop-restore-journal.ts';
import { copySequences } from './sequences/copy-sequences.ts';
import { setReplicaIdentity } from './tables/set-replica-identity.ts';
import { copyUnreplicated } from './unreplicated/copy-unreplicated.ts';
import { pausePgbouncer } from './traffic/pause-pgbouncer.ts';
import { runHooksTogether } from './traffic/run-hooks-together.ts';
import { runHooks } from './traffic/run-hooks.ts';
import { switchPgbouncer } from './traffic/switch-pgbouncer.ts';
import type { AnyOperation } from '../engine/operation.ts';

export {
  agreeToOpen,
  analyzeTables,
  awaitCatchUp,
  awaitLsn,
  awaitLsnTogether,
  buildIndexes,
  carryOver,
  checkClusters,
  checkDatabase,
  checkDrift,
  checkWayBack,
  compareLive,
  compareOpened,
  compareTables,
  copyDatabasePrivileges,
  copyPrivilegesTogether,
  copyLargeObjects,
  copyRoles,
  copySchema,
  copySequences,
  copySnapshot,
  copyTables,
  copyUnreplicated,
  createDatabase,
  createDeferredTriggers,
  createPublication,
  createReplicationRole,
  createSlot,
  createSubscription,
  dropRestoreJournal,
  fenceSource,
  fenceTogether,
  foreseeFence,
  grantReplicationRole,
  holdTarget,
  finishOpening,
  openTarget,
  pausePgbouncer,
  proveEngine,
  removeLedger,
  runHooks,
  runHooksTogether,
  setReplicaIdentity,
  startReverse,
  switchPgbouncer,
  switchReverse,
  switchReverseTogether,
  tuneTarget,
};

const all: readonly AnyOperation[] = [
  checkClusters,
  checkDatabase,
  proveEngine,
  setReplicaIdentity,
  createReplicationRole,
  grantReplicationRole,
  copyRoles,
  createDatabase,
  copySchema,
  createPublication,
  tuneTarget,
  copySnapshot,
  createSlot,
  createSubscription,
  copyTables,
  buildIndexes,
  analyzeTables,
  copyLargeObjects,
  awaitCatchUp,
  checkWayBack,
  switchReverse,
  switchReverseTogether,
  startReverse,
  checkDrift,
  runHooks,
  runHooksTogether,
  pausePgbouncer,
  fenceSource,
  fenceTogether,
  awaitLsn,
  awaitLsnTogether,
  carryOver,
  copySequences,
  copyUnreplicated,
  compareTables,
  createDeferredTriggers,
  copyDatabasePrivileges,
  copyPrivilegesTogether,
  agreeToOpen,
  finishOpening,
  openTarget,
  switchPgbouncer,
  compareOpened,
  compareLive,
  foreseeFence,
  holdTarget,
  dropRestoreJournal,
  removeLedger,
];

/** Every operation by its name: what a worker can do. */
export const operations: ReadonlyMap<string, AnyOperation> = new Map(
  all.map((operation) => [operation.name, operation]),
);
