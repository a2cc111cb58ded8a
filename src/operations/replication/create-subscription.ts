import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { subscriptionName } from '../../replication/names.ts';
import { openedDatabase, refuseWhenOpened } from '../cutover/opened.ts';
import { refuseWithoutSlot } from './lost-slot.ts';
import { pairOf } from './pair.ts';
import { continuesCopy } from './snapshot-copy.ts';

/**
 * The target's subscription on the slot, still disabled: copy-tables starts it.
 * @see https://www.postgresql.org/docs/current/sql-createsubscription.html
 */
export const createSubscription = defineOperation({
  name: 'create-subscription',
  title: 'The target subscribes to the source',
  scope: 'database',
  queue: 'copy',
  input: z.strictObject({}),
  output: z.strictObject({ subscription: z.string() }),

  async check(context) {
    const subscription = subscriptionName(context.source.name);
    const { exists } = await context.engine.subscription(pairOf(context));
    const slot = exists ? await context.engine.slot(pairOf(context)) : undefined;
    if (slot?.exists && slot.lost === undefined) return holds({ subscription });
    // After the cutover nobody needs it any more.
    if (await openedDatabase(context)) return holds({ subscription });
    if (exists) await refuseWithoutSlot(context);
    return lacks([{ subscription }]);
  },

  async apply(context) {
    await refuseWhenOpened(context, 'a new copy');
    await refuseWithoutSlot(context);
    const pair = pairOf(context);
    const copy = !(await continuesCopy(context, await context.engine.slot(pair)));
    await context.engine.createSubscription(pair, { copy });
  },

  undo: (context: OperationContext) => context.engine.dropSubscription(pairOf(context)),
});
