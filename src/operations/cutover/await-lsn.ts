import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { DeadlineExceeded, PgconvoyError } from '../../errors.ts';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { pairOf } from '../replication/pair.ts';
import { outageMs } from './claim-fence.ts';
import { lookAtFence } from './fence.ts';
import { openedDatabase } from './opened.ts';

const LOOK_FIRST_MS = 3;
const LOOK_MOST_MS = 50;

/**
 * The target has applied, and flushed to its disk, everything up to the position that the fence has noted. When it does not come in time
 * the step fails, and the database is given back.
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
        throw new DeadlineExceeded(
          `${context.target.side}, database "${source.name}": it has not got everything up to ${lsn} within ${most} ms`,
          {
            hint: "See the target server's log for `logical replication`, or raise deadlines.fence and deadlines.outage; then retry the step, which fences anew.",
          },
        );
      }
      await sleep(pause, undefined, { signal });
      pause = Math.min(LOOK_MOST_MS, pause * 1.3);
    }
  },
});

/** The noted position. Where the fence is down, somebody was told that the source takes writes: only who is asked to raises it anew. */
async function fencedLsn(context: OperationContext): Promise<string> {
  const { fence, missing } = await lookAtFence(context);
  if (fence) return fence.lsn;
  throw new PgconvoyError(
    `${context.source.side}, database "${context.source.name}": the fence does not stand (missing: ${missing.join(', ')})`,
    { hint: `pgconvoy retry ${context.run.id} fences anew.` },
  );
}

/** The target has applied and flushed everything up to this position, and every table streams. */
export async function arrived(context: OperationContext, lsn: string): Promise<boolean> {
  const pair = pairOf(context);
  if (!(await context.engine.reached(pair, lsn))) return false;
  const { tables } = await context.engine.subscription(pair);
  return tables.every(({ state }) => state === 'streaming');
}
