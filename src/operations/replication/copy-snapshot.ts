import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { sql } from '../../postgres/sql.ts';
import { openedDatabase, refuseWhenOpened } from '../cutover/opened.ts';
import { copyFromSnapshot, tablesToCopy } from './copy-from-snapshot.ts';
import { emptyTables } from './empty-tables.ts';
import { givenUpKey } from './given-up.ts';
import { pairOf } from './pair.ts';
import { sayingWhoIsWaitedFor } from './slot-wait.ts';
import { continuesCopy, copiedKey } from './snapshot-copy.ts';

/**
 * The initial copy of a small database, with one slot and a few sessions where the subscription's own copy makes a slot, a worker
 * and two sessions for every table. All tables are read from the slot's snapshot; what came after it streams. A worker that
 * dies begins the database anew, so larger ones are left to the subscription, which goes on table by table.
 * @see https://www.postgresql.org/docs/current/logicaldecoding-explanation.html#LOGICALDECODING-EXPLANATION-EXPORTED-SNAPSHOTS
 */
export const copySnapshot = defineOperation({
  name: 'copy-snapshot',
  title: 'A small database is copied from one snapshot',
  scope: 'database',
  queue: 'copy',
  input: z.strictObject({}),
  output: z.strictObject({ by: z.enum(['snapshot', 'subscription']) }),

  async check(context) {
    const { engine, settings } = context;
    const pair = pairOf(context);
    if (!engine.createSlotWithSnapshot) return holds({ by: 'subscription' as const });
    const [slot, subscription] = await Promise.all([engine.slot(pair), engine.subscription(pair)]);
    const usable = slot.exists && slot.lost === undefined;
    if (await continuesCopy(context, slot)) return holds({ by: 'snapshot' as const });
    // On its way already, or through; after the cutover nobody needs it any more.
    if ((usable && subscription.exists) || (await openedDatabase(context)))
      return holds({ by: 'subscription' as const });
    const bytes = await databaseBytes(context);
    if (bytes > settings.replication.snapshotCopyUpTo) return holds({ by: 'subscription' as const });
    return lacks([{ bytes }]);
  },

  async apply(context) {
    const { engine, sourceLedger, targetLedger, settings, source, log } = context;
    const pair = pairOf(context);
    await refuseWhenOpened(context, 'a new copy');
    if (await engine.dropSubscription(pair))
      log.warn('a subscription without a slot is dropped: the database is copied anew');
    await targetLedger.forget(copiedKey(source.name));
    const tables = await engine.publishedTables(pair);
    if (!tables) {
      throw new PgconvoyError(
        `source, database "${source.name}": its tables are not published, so there is nothing to copy`,
        {
          hint: 'Run `pgconvoy setup` first: it makes the publication, and the tables on the target.',
        },
      );
    }
    await emptyTables(context, tables);
    const wanted = await tablesToCopy(context, tables);
    await using snapshot = await sayingWhoIsWaitedFor(
      context,
      engine.createSlotWithSnapshot!(pair, settings.deadlines.slot),
    );
    await sourceLedger.forget(givenUpKey(source.name));
    await copyFromSnapshot(context, wanted, snapshot);
    await targetLedger.record(copiedKey(source.name), { lsn: snapshot.lsn });
  },

  async undo({ source, targetLedger }: OperationContext) {
    const key = copiedKey(source.name);
    if (!(await targetLedger.find(key))) return false;
    await targetLedger.forget(key);
    return true;
  },
});

const Bytes = z.object({ bytes: z.number() });

async function databaseBytes({ source, sourceCluster }: OperationContext): Promise<number> {
  const { bytes } = await sourceCluster.maintenance.one(
    Bytes,
    sql`select pg_database_size(${source.name}::name)::float8 as bytes`,
  );
  return bytes;
}
