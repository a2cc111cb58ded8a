import { runOperation } from '../../src/engine/run-operation.ts';
import { awaitCatchUp } from '../../src/operations/replication/await-catch-up.ts';
import { copyTables } from '../../src/operations/replication/copy-tables.ts';
import { createPublication } from '../../src/operations/replication/create-publication.ts';
import { createSlot } from '../../src/operations/replication/create-slot.ts';
import { createSubscription } from '../../src/operations/replication/create-subscription.ts';
import { createReplicationRole } from '../../src/operations/roles/create-replication-role.ts';
import { grantReplicationRole } from '../../src/operations/roles/grant-replication-role.ts';
import type { ContextOptions, TestPair } from './pair.ts';

/** The road of one database from nothing to streaming, for tests that begin further on. */
const ROAD = [
  createReplicationRole,
  grantReplicationRole,
  createPublication,
  createSlot,
  createSubscription,
  copyTables,
] as const;

type StepName = (typeof ROAD)[number]['name'] | 'await-catch-up';

/** Both sides get the same schema; the source alone gets the rows. The target database counts as made by setup. */
export async function schemaOnBothSides(pair: TestPair, base: string, schema: string, rows = ''): Promise<string> {
  const database = await pair.database(base, schema, ['source', 'target']);
  if (rows !== '') await pair.query('source', database, rows);
  await pair.context(database).targetLedger.record({ kind: 'database', database }, null);
  return database;
}

/** Runs the steps up to and including `last`. */
export async function walkTo(
  pair: TestPair,
  database: string,
  last: StepName,
  options: ContextOptions = {},
): Promise<void> {
  for (const operation of [...ROAD, awaitCatchUp]) {
    const context = pair.context(operation.scope === 'cluster' ? undefined : database, {
      ...options,
      input: operation.input.parse({}),
    });
    await runOperation(operation, context);
    if (operation.name === last) return;
  }
}
