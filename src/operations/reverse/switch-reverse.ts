import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import { lookAtPositions, settlePositions } from './settle-positions.ts';

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
  /** Null where applications have been led there before without a way back, or that was ended. */
  output: z.strictObject({ lsn: z.string().nullable() }),

  async check(context) {
    const { positions, missing } = await lookAtPositions([context]);
    return missing.length > 0 ? lacks(missing) : holds({ lsn: positions.get(context.source.name) ?? null });
  },

  apply: settlePositions,
});
