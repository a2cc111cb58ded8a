import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { subscriptionName } from '../../replication/names.ts';
import { refuseWhenOpened } from '../cutover/opened.ts';
import { refuseWithoutSlot } from './lost-slot.ts';
import { pairOf } from './pair.ts';
import { continuesCopy } from './snapshot-copy.ts';
import { isBehindIt, WayBack, withRoom } from './way-back.ts';

/**
 * The target's subscription on the slot, still disabled: copy-tables starts it.
 * @see https://www.postgresql.org/docs/current/sql-createsubscription.html
 */
export const createSubscription = defineOperation({
  name: 'create-subscription',
  title: 'The target subscribes to the source',
  scope: 'database',
  queue: 'copy',
  input: WayBack,
  output: z.strictObject({ subscription: z.string() }),

  async check(context) {
    const subscription = subscriptionName(context.source.name);
    const { exists } = await context.engine.subscription(pairOf(context));
    const slot = exists ? await context.engine.slot(pairOf(context)) : undefined;
    if (slot?.exists && slot.lost === undefined) return holds({ subscription });
    // After the cutover nobody needs it any more.
    if (await isBehindIt(context)) return holds({ subscription });
    if (exists) await refuseWithoutSlot(context);
    return lacks([{ subscription }]);
  },

  async apply(context) {
    const { engine, input } = context;
    if (!input.wayBack) await refuseWhenOpened(context, 'a new copy');
    await refuseWithoutSlot(context);
    const pair = pairOf(context);
    // What the way back leads to has the rows already: they have come from there.
    const copy = !input.wayBack && !(await continuesCopy(context, await engine.slot(pair)));
    await withRoom(context, () => engine.createSubscription(pair, { copy }));
  },

  /** A way back that applications have been led away from stays. */
  undo: async (context: OperationContext<WayBack>) =>
    !(context.input.wayBack && (await isBehindIt(context))) && context.engine.dropSubscription(pairOf(context)),
});
