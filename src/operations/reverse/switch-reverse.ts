import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import { settledPositions, settlePositions } from './settle-positions.ts';

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
    const { name } = context.source;
    const lsn = (await settledPositions([context])).get(name);
    return lsn === undefined ? lacks([{ database: name }]) : holds({ lsn });
  },

  apply: (context) => settlePositions([context]),
});
