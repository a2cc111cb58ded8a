import { runOperation } from '../../../src/engine/run-operation.ts';
import { createDatabase } from '../../../src/operations/databases/create-database.ts';
import { buildIndexes } from '../../../src/operations/schema/build-indexes.ts';
import { copySchema } from '../../../src/operations/schema/copy-schema.ts';
import { setReplicaIdentity } from '../../../src/operations/tables/set-replica-identity.ts';
import type { TestPair } from '../../helpers/pair.ts';
import { walkTo } from '../../helpers/streaming.ts';

/** A database as setup and start leave it: its schema copied by pgconvoy, its rows streaming, its indexes built. */
export async function replicatedDatabase(pair: TestPair, base: string, schema: string): Promise<string> {
  const database = await pair.database(base, schema);
  pair.expectDatabase(database);
  await runOperation(setReplicaIdentity, pair.context(database, { input: setReplicaIdentity.input.parse({}) }));
  await runOperation(createDatabase, pair.context(database));
  await runOperation(copySchema, pair.context(database));
  await walkTo(pair, database, 'copy-tables');
  await runOperation(buildIndexes, pair.context(database));
  return database;
}
