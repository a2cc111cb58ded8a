import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { FenceProof } from './fence.ts';
import { fenceThese, lookForUnfenced } from './fence-these.ts';
import { giveBack } from './give-back.ts';
import { givenBackKey } from './given-back.ts';

/** What is told of a fence; its time is that of the source's clock. */
export const FenceOutput = z.strictObject({ ...FenceProof.shape, fencedAt: z.string() });

/** Applications have left it before, behind this fence: whether that still stands is its owner's business. */
const LeftOutput = z.strictObject({ opened: z.literal(true), lsn: z.string(), fencedAt: z.string() });

/**
 * Nobody writes to the source's database any more: here the write outage begins. Undo gives the application its database back,
 * unless it is open on the target already: then its fence is left alone altogether.
 * @see https://www.postgresql.org/docs/current/sql-revoke.html
 */
export const fenceSource = defineOperation({
  name: 'fence-source',
  title: 'Nobody can write to the source',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.union([FenceOutput, LeftOutput]),

  async check(context) {
    const { name } = context.source;
    const { fences, left, unfenced } = await lookForUnfenced([context]);
    const [fence, opened] = [fences.get(name), left.get(name)];
    if (fence) return holds(fence);
    if (opened) return holds({ opened: true as const, lsn: opened.lsn, fencedAt: opened.fencedAt });
    return lacks(unfenced);
  },

  apply: (context, missing) => fenceThese([context], missing),

  async undo(context: OperationContext) {
    const given = await giveBack(context);
    await context.sourceLedger.forget(givenBackKey(context.source.name));
    return given;
  },
});
