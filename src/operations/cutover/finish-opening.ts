import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { sql } from '../../postgres/sql.ts';
import { pairOf } from '../replication/pair.ts';
import { letGo, letIn, letsIn } from './let-in.ts';
import { Opened, hasLeftSource, openedKey } from './opened.ts';

const Now = z.object({ openedAt: z.string(), outageMs: z.number() });

/**
 * A database that was decided for the target is open there: who is stopped between the two would leave it on neither side. What was not
 * decided is left alone.
 */
export const finishOpening = defineOperation({
  name: 'finish-opening',
  title: 'What was decided for the target is open there',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({ opened: z.boolean() }),

  async check(context) {
    const decided = await hasLeftSource(context);
    return decided && !(await letsIn(context))
      ? lacks([{ database: context.source.name }])
      : holds({ opened: decided });
  },

  apply: (context) => openDecided(context),
});

/** Replication is off and applications are let in, in that order: from the decision on this is all that is left to do. */
export async function openDecided(context: OperationContext): Promise<void> {
  const { engine, source, sourceCluster, sourceLedger, targetLedger, log } = context;
  const pair = pairOf(context);
  if ((await engine.subscription(pair)).enabled) await engine.disable(pair);
  const decided = Opened.parse((await sourceLedger.find(openedKey(source.name)))?.before);
  // Noted before anybody is in: from then on nothing of ours changes the database, whoever tries the step again.
  await targetLedger.replace(openedKey(source.name), decided);
  await letIn(context);
  const now = await sourceCluster.maintenance.one(
    Now,
    sql`select clock_timestamp()::text as "openedAt",
               round(extract(epoch from clock_timestamp() - ${decided.fencedAt}::timestamptz) * 1000)::float8 as "outageMs"`,
  );
  const opened: Opened = { ...decided, ...now };
  await Promise.all([
    targetLedger.replace(openedKey(source.name), opened),
    sourceLedger.replace(openedKey(source.name), opened),
  ]);
  await letGo(context);
  log.info(opened, 'open on the target');
}
