import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { slotName } from '../../replication/names.ts';
import { refuseWhenOpened } from '../cutover/opened.ts';
import { givenUpKey } from './given-up.ts';
import { pairOf } from './pair.ts';
import { sayingWhoIsWaitedFor } from './slot-wait.ts';
import { isBehindIt, WayBack } from './way-back.ts';

interface Missing {
  readonly slot: string;
  /** Why the slot that is there is of no use. */
  readonly lost: string | undefined;
}

/**
 * The slot that keeps the source's WAL for this database from here on. A subscription from before a new slot would miss what
 * happened in between, so it goes, and the database is copied anew.
 * @see https://www.postgresql.org/docs/current/logicaldecoding-explanation.html#LOGICALDECODING-REPLICATION-SLOTS
 */
export const createSlot = defineOperation({
  name: 'create-slot',
  title: 'The source keeps every change for the target',
  scope: 'database',
  queue: 'copy',
  input: WayBack,
  output: z.strictObject({ slot: z.string() }),

  async check(context) {
    const name = slotName(context.source.name);
    const slot = await context.engine.slot(pairOf(context));
    if (slot.exists && slot.lost === undefined) return holds({ slot: name });
    // After the cutover nobody needs it any more.
    if (await isBehindIt(context)) return holds({ slot: name });
    return lacks<Missing>([{ slot: name, lost: slot.lost }]);
  },

  async apply(context, [missing]) {
    const { engine, settings, log } = context;
    const pair = pairOf(context);
    if (!context.input.wayBack) await refuseWhenOpened(context, 'a new copy');
    if (missing?.lost !== undefined) log.warn({ lost: missing.lost }, 'the slot is lost: the database is copied anew');
    if (await engine.dropSubscription(pair))
      log.warn('a subscription without a slot is dropped: the database is copied anew');
    if (missing?.lost !== undefined) await engine.dropSlot(pair);
    await sayingWhoIsWaitedFor(context, engine.createSlot(pair, settings.deadlines.slot));
    await context.sourceLedger.forget(givenUpKey(context.source.name));
  },

  /** A way back that applications have been led away from stays. */
  undo: async (context: OperationContext<WayBack>) =>
    !(context.input.wayBack && (await isBehindIt(context))) && context.engine.dropSlot(pairOf(context)),
});
