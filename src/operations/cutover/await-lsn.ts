import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { awaitThese, haveArrived } from './await-these.ts';
import { lookAtFence } from './fence.ts';
import { openedDatabase } from './opened.ts';

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
    if (fence && (await haveArrived([{ context, lsn: fence.lsn }]))) return holds({ lsn: fence.lsn });
    // After the cutover the slot is gone, with all that it was for.
    const opened = await openedDatabase(context);
    if (opened) return holds({ lsn: opened.lsn });
    return lacks(fence ? [`rows up to ${fence.lsn}`] : missing);
  },

  /** Where the fence is down, somebody was told that the source takes writes: only who is asked to raises it anew. */
  async apply(context) {
    const { fence, missing } = await lookAtFence(context);
    if (!fence) throw notFenced(context, missing);
    await awaitThese([{ context, lsn: fence.lsn }]);
  },
});

type FencedContext = Pick<OperationContext, 'source' | 'run'>;

/** What a step says that works behind a fence, where there is none. */
export const notFenced = ({ source, run }: FencedContext, missing: readonly string[]): PgconvoyError =>
  new PgconvoyError(
    `${source.side}, database "${source.name}": the fence does not stand (missing: ${missing.join(', ')})`,
    { hint: `pgconvoy retry ${run.id} fences anew.` },
  );
