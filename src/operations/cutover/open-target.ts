import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { sql } from '../../postgres/sql.ts';
import { pairOf } from '../replication/pair.ts';
import { lookAtFence } from './fence.ts';
import { Opened, openedDatabase, openedKey } from './opened.ts';

const Now = z.object({ now: z.string(), outageMs: z.number() });

/**
 * From here on the database belongs to the applications, on the target: replication is off and nothing of ours writes there any
 * more. The write outage ends; both times are taken from the source's clock.
 */
export const openTarget = defineOperation({
  name: 'open-target',
  title: 'The target is open',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: Opened,

  async check(context) {
    const opened = await openedDatabase(context);
    return opened ? holds(opened) : lacks([{ database: context.source.name }]);
  },

  async apply(context) {
    const { engine, source, sourceCluster, sourceLedger, targetLedger, log } = context;
    const { fence, missing } = await lookAtFence(context);
    if (!fence) {
      throw new PgconvoyError(
        `source, database "${source.name}": the fence does not stand (missing: ${missing.join(', ')}), so writes may have been made that the target lacks`,
        { hint: 'Start the cutover of this database again: `pgconvoy stop`.' },
      );
    }
    const pair = pairOf(context);
    if ((await engine.subscription(pair)).enabled) await engine.disable(pair);
    const { now, outageMs } = await sourceCluster.maintenance.one(
      Now,
      sql`select clock_timestamp()::text as now,
                 round(extract(epoch from clock_timestamp() - ${fence.fencedAt}::timestamptz) * 1000)::float8 as "outageMs"`,
    );
    const opened: Opened = { fencedAt: fence.fencedAt, openedAt: now, lsn: fence.lsn, outageMs };
    // The source's note first: it keeps the fence up even when the target's ledger is gone.
    await sourceLedger.record(openedKey(source.name), opened);
    await targetLedger.record(openedKey(source.name), opened);
    await targetLedger.forget({ kind: 'database', database: source.name });
    log.info(opened, 'open on the target');
  },

  async undo(context: OperationContext) {
    const { engine, source, sourceLedger, targetLedger } = context;
    if (!(await openedDatabase(context))) {
      await sourceLedger.forget(openedKey(source.name));
      return false;
    }
    await targetLedger.record({ kind: 'database', database: source.name }, {});
    await targetLedger.forget(openedKey(source.name));
    await sourceLedger.forget(openedKey(source.name));
    const pair = pairOf(context);
    if ((await engine.subscription(pair)).exists) await engine.enable(pair);
    return true;
  },
});
