import { defineWorkflow, eachDatabase } from '../src/engine/workflow.ts';
import * as op from '../src/operations/index.ts';

/** Mends what can be mended without asking: each published table gets a replica identity. */
export const fix = defineWorkflow({
  name: 'fix',
  title: 'Give every table a replica identity',
  rows: [eachDatabase(op.setReplicaIdentity, {}, { attempts: 20 })],
});
