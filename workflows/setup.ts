import { barrier, cluster, defineWorkflow, eachDatabase } from '../src/engine/workflow.ts';
import type { Row } from '../src/engine/workflow.ts';
import * as op from '../src/operations/index.ts';

/** What all databases need before the first of them. */
export const prepareClusters: readonly Row[] = [cluster(op.createReplicationRole), cluster(op.copyRoles)];

/** What one database needs before it is copied. */
export const prepareDatabase: readonly Row[] = [
  eachDatabase(op.grantReplicationRole),
  eachDatabase(op.createDatabase),
  eachDatabase(op.copySchema),
  eachDatabase(op.createPublication, {}, { attempts: 20 }),
];

/** Prepares both clusters: roles, empty databases with their tables, publications. No row is copied yet. */
export const setup = defineWorkflow({
  name: 'setup',
  title: 'Prepare both clusters',
  rows: [
    cluster(op.checkClusters, {}, { findings: 'block' }),
    eachDatabase(op.checkDatabase, {}, { findings: 'block' }),
    cluster(op.proveEngine, { remember: true }, { findings: 'block' }),
    barrier('Nothing blocks the upgrade'),

    ...prepareClusters,
    ...prepareDatabase,
    barrier('Every database is ready to be copied'),
  ],
});
