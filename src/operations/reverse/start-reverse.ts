import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { subscriptionName } from '../../replication/names.ts';
import { openedOnSource } from '../cutover/opened.ts';
import { forgetBaseline, noteBaseline } from '../drift/baseline.ts';
import { pairOf } from '../replication/pair.ts';
import { swapped } from '../replication/way-back.ts';
import { forgetPosition, readPosition } from './position.ts';
import { firingTriggers, restoreTriggers, silenceTriggers } from './silent-triggers.ts';

/**
 * Rows travel back: whatever applications have written since the opening, and from now on, so that the other side can take over again.
 * Undo ends that, in whichever state it is.
 * @see https://www.postgresql.org/docs/current/logical-replication-subscription.html
 */
export const startReverse = defineOperation({
  name: 'start-reverse',
  title: 'Rows travel back',
  scope: 'database',
  input: z.strictObject({}),
  output: z.strictObject({
    /** Null: applications have been led there before without a way back, or that was ended, and none can be made any more. */
    subscription: z.string().nullable(),
  }),

  async check(context) {
    const { engine, source } = context;
    const { enabled, exists } = await engine.subscription(pairOf(context));
    if (!exists && !(await readPosition(context)) && (await openedOnSource(context))) {
      context.note(
        `${source.side}, database "${source.name}": applications have been led there without a way back, or it was ended: no rows travel back`,
      );
      return holds({ subscription: null });
    }
    const firing = enabled ? await firingTriggers(context) : [];
    if (enabled && firing.length === 0) return holds({ subscription: subscriptionName(source.name) });
    return lacks([{ enabled, firing: firing.length }]);
  },

  async apply(context) {
    const { engine, source, targetCluster } = context;
    const pair = pairOf(context);
    const position = new Map([[source.name, await requirePosition(context)]]);
    // It would send back what comes from there.
    const forth = await engine.subscription(pairOf(swapped(context)));
    if (forth.enabled) throw stillForth(context);
    await silenceTriggers(context);
    await noteBaseline(context);
    if (!(await engine.beginsAt(targetCluster, position)).has(source.name))
      await engine.beginAt(targetCluster, position);
    await engine.enable(pair);
  },

  async undo(context) {
    const { engine } = context;
    const pair = pairOf(context);
    const changes = [
      await engine.dropSubscription(pair),
      await engine.dropSlot(pair),
      await engine.unpublish(pair),
      await restoreTriggers(context),
      await restoreThere(context),
      (await readPosition(context)) !== undefined,
    ];
    await forgetPosition(context);
    await forgetBaseline(context);
    return changes.includes(true);
  },
});

/** Of the side that applications use or have used, once nothing comes from there any more. */
async function restoreThere(context: OperationContext): Promise<boolean> {
  const there = swapped(context);
  if ((await context.engine.subscription(pairOf(there))).exists) return false;
  return restoreTriggers(there);
}

/** Without it, rows that have come from there would be sent back. */
async function requirePosition(context: OperationContext): Promise<string> {
  const { source } = context;
  const position = await readPosition(context);
  if (position && (await openedOnSource(context))) return position.lsn;
  throw new PgconvoyError(
    `${source.side}, database "${source.name}": it has not been opened with a way back, so no rows can travel back`,
    { hint: 'A way back is made by the cutover itself (cutover.reverse); there is none for what is open already.' },
  );
}

const stillForth = ({ source, target }: OperationContext): PgconvoyError =>
  new PgconvoyError(
    `${source.side}, database "${source.name}": it still receives rows from the ${target.side}, so none can travel back yet`,
    { hint: 'Retry the step: what precedes it ends that.', disposition: 'retry' },
  );
