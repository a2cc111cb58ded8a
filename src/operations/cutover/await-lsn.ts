import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { DeadlineExceeded } from '../../errors.ts';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { refuseLateDrift } from '../drift/look.ts';
import { refuseWithoutSlot } from '../replication/lost-slot.ts';
import { pairOf } from '../replication/pair.ts';
import { outageMs } from './claim-fence.ts';
import { lookAtFence } from './fence.ts';
import { giveBack } from './give-back.ts';
import { openedDatabase } from './opened.ts';
import { raiseFence } from './raise-fence.ts';

const LOOK_FIRST_MS = 3;
const LOOK_MOST_MS = 50;

/**
 * The target has applied, and flushed to its disk, everything up to the position that the fence has noted. When it does not come
 * in time the fence is taken down; trying the step again raises it anew.
 * @see https://www.postgresql.org/docs/current/view-pg-replication-slots.html
 */
export const awaitLsn = defineOperation({
  name: 'await-lsn',
  title: 'The target has every row of the source',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({ lsn: z.string() }),

  async check(context) {
    const { fence, missing } = await lookAtFence(context);
    if (fence && (await arrived(context, fence.lsn))) return holds({ lsn: fence.lsn });
    // After the cutover the slot is gone, with all that it was for.
    const opened = await openedDatabase(context);
    if (opened) return holds({ lsn: opened.lsn });
    return lacks(fence ? [`rows up to ${fence.lsn}`] : missing);
  },

  async apply(context) {
    const { settings, signal, progress, source } = context;
    const lsn = await fencedLsn(context);
    const started = Date.now();
    const most = Math.min(settings.deadlines.fence, outageMs(context));
    let pause = LOOK_FIRST_MS;
    while (!(await arrived(context, lsn))) {
      signal.throwIfAborted();
      const waited = Date.now() - started;
      progress({ done: waited, total: most, unit: 'milliseconds', note: `waiting for ${lsn}` });
      if (waited > most) {
        await giveBack(context);
        throw new DeadlineExceeded(
          `${context.target.side}, database "${source.name}": it has not got everything up to ${lsn} within ${most} ms. The fence is down again, the source takes writes`,
          {
            hint: "See the target server's log for `logical replication`, or raise deadlines.fence and deadlines.outage. Retrying the step fences the source anew.",
          },
        );
      }
      await sleep(pause, undefined, { signal });
      pause = Math.min(LOOK_MOST_MS, pause * 1.3);
    }
  },
});

/** The noted position; where a deadline has taken the fence down, it is raised anew. */
async function fencedLsn(context: OperationContext): Promise<string> {
  const standing = (await lookAtFence(context)).fence;
  if (standing) return standing.lsn;
  await refuseWithoutSlot(context);
  return (await raiseFence(context, () => refuseLateDrift(context))).lsn;
}

/** The target has applied and flushed everything up to this position, and every table streams. */
export async function arrived(context: OperationContext, lsn: string): Promise<boolean> {
  const pair = pairOf(context);
  if (!(await context.engine.reached(pair, lsn))) return false;
  const { tables } = await context.engine.subscription(pair);
  return tables.every(({ state }) => state === 'streaming');
}
