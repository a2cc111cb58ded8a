import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import { refuseGivenBack } from '../cutover/given-back.ts';
import { hasLeftSource } from '../cutover/opened.ts';
import { flowing, pauseTraffic, releaseTraffic } from './traffic.ts';
import { wayName, waysTo } from './ways.ts';

/**
 * Clients of PgBouncer wait, and it has no connection to the source any more: no fence ends a statement of theirs. Undo lets them go on
 * to whichever cluster is open.
 * @see https://www.pgbouncer.org/usage.html#pause-db
 */
export const pausePgbouncer = defineOperation({
  name: 'pause-pgbouncer',
  title: 'Clients of PgBouncer wait',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({
    /** Databases of PgBouncers that lead here, like `127.0.0.1:6432/shop`. */
    ways: z.array(z.string()),
  }),

  async check(context) {
    const open = (await hasLeftSource(context)) ? [] : await flowing(context);
    return open.length > 0 ? lacks(open.map(wayName)) : holds({ ways: (await waysTo(context)).map(wayName) });
  },

  async apply(context) {
    await refuseGivenBack(context);
    await pauseTraffic(context);
  },

  undo: (context) => releaseTraffic(context),
});
