import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { lookAtFence, markWal } from '../cutover/fence.ts';
import type { StandingFence } from '../cutover/fence.ts';
import { openedOnSource } from '../cutover/opened.ts';
import { pairOf } from '../replication/pair.ts';
import { swapped } from '../replication/way-back.ts';
import { notePosition, readPosition } from './position.ts';

/**
 * From which position rows will travel back: behind all that has come from the other side, and before applications write there. The
 * last step before the opening; its subscription stays disabled, so that giving the database back takes nothing.
 * @see https://www.postgresql.org/docs/current/replication-origins.html
 */
export const switchReverse = defineOperation({
  name: 'switch-reverse',
  title: 'It is settled from where rows travel back',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({ lsn: z.string() }),

  async check(context) {
    const [fence, position] = await Promise.all([fenceOf(context), readPosition(context)]);
    if (position && (fence?.lsn === position.fence || (await openedOnSource(context)))) {
      if (await context.engine.beginsAt(pairOf(context), position.lsn)) return holds({ lsn: position.lsn });
    }
    return lacks([{ database: context.source.name }]);
  },

  async apply(context) {
    const { engine, target } = context;
    const fence = await fenceOf(context);
    if (!fence) {
      throw new PgconvoyError(
        `${target.side}, database "${target.name}": the fence does not stand, so rows may still come from there`,
        { hint: 'Start the cutover of this database again: `pgconvoy stop`.' },
      );
    }
    // Flushed when it returns: what is written after a crash lies behind it.
    const lsn = await markWal(context);
    await notePosition(context, { fence: fence.lsn, lsn });
    await engine.beginAt(pairOf(context), lsn);
  },
});

/** The fence stands where the way back leads to. */
const fenceOf = async (context: OperationContext): Promise<StandingFence | undefined> =>
  (await lookAtFence(swapped(context))).fence;
