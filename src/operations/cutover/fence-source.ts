import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { FenceState, fenceState } from '../../postgres/catalog/fence.ts';
import { refuseLateDrift } from '../drift/look.ts';
import { refuseWithoutSlot } from '../replication/lost-slot.ts';
import { claimFence } from './claim-fence.ts';
import { ANOTHERS, beforeFence, lookAtFence } from './fence.ts';
import { giveBack } from './give-back.ts';
import { givenBackKey, refuseGivenBack } from './given-back.ts';
import { raiseFence } from './raise-fence.ts';

/**
 * Nobody writes to the source's database any more: here the write outage begins. Undo gives the application its database back,
 * unless it is open on the target already.
 * @see https://www.postgresql.org/docs/current/sql-revoke.html
 */
export const fenceSource = defineOperation({
  name: 'fence-source',
  title: 'Nobody can write to the source',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({
    /** By the source's clock. */
    fencedAt: z.string(),
    lsn: z.string(),
    /** Sessions that were ended. */
    ended: z.int(),
    /** Superusers among them: the fence does not keep them out. */
    superusers: z.array(z.string()),
    /** Roles that stay connected: it is proven that they cannot write. */
    readers: z.array(z.string()),
    /** Background workers of extensions, which may write. */
    workers: z.array(z.string()),
  }),

  async check(context) {
    const { fence, missing } = await lookAtFence(context);
    return fence ? holds(fence) : lacks(missing);
  },

  async apply(context, missing) {
    if (missing.every((each) => each === ANOTHERS)) return takeOver(context);
    await refuseGivenBack(context);
    try {
      // An outage that nothing can come of is spared the application.
      await refuseWithoutSlot(context);
      await raiseFence(context, () => refuseLateDrift(context));
    } catch (error) {
      // Applications may wait already.
      if (!context.signal.aborted) await giveBack(context);
      throw error;
    }
  },

  async undo(context: OperationContext) {
    const given = await giveBack(context);
    await context.sourceLedger.forget(givenBackKey(context.source.name));
    return given;
  },
});

/** It stands, and nobody has written since: what its worker had begun goes on from there. */
async function takeOver(context: OperationContext): Promise<void> {
  const { sourceCluster, source } = context;
  const state = await sourceCluster.maintenance.one(FenceState, fenceState(source.name));
  await claimFence(context, beforeFence(state));
}
