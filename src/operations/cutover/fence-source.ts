import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { FenceProof, lookAtFence } from './fence.ts';
import { fenceThese } from './fence-these.ts';
import { giveBack } from './give-back.ts';
import { givenBackKey } from './given-back.ts';

/** What is told of a fence; its time is that of the source's clock. */
export const FenceOutput = z.strictObject({ ...FenceProof.shape, fencedAt: z.string() });

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
  output: FenceOutput,

  async check(context) {
    const { fence, missing } = await lookAtFence(context);
    return fence ? holds(fence) : lacks(missing);
  },

  apply: (context, missing) => fenceThese([{ context, missing }]),

  async undo(context: OperationContext) {
    const given = await giveBack(context);
    await context.sourceLedger.forget(givenBackKey(context.source.name));
    return given;
  },
});
