import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import { letsIn } from '../cutover/let-in.ts';
import { notSwitched, switchTraffic } from './traffic.ts';
import { wayName, waysTo } from './ways.ts';

/**
 * PgBouncer leads its clients to the cluster that was opened, and they go on. Its file is changed first, so that it leads there after a
 * restart as well.
 * @see https://www.pgbouncer.org/usage.html#reload
 */
export const switchPgbouncer = defineOperation({
  name: 'switch-pgbouncer',
  title: 'PgBouncer leads to the open cluster',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({
    /** Databases of PgBouncers that lead here, like `127.0.0.1:6432/shop`. */
    ways: z.array(z.string()),
  }),

  async check(context) {
    const missing = await notSwitched(context);
    return missing.length > 0 ? lacks(missing) : holds({ ways: (await waysTo(context)).map(wayName) });
  },

  async apply(context) {
    if (!(await letsIn(context))) {
      throw new PgconvoyError(`database "${context.source.name}" is not open there, so PgBouncer is not led to it`, {
        hint: 'Start the cutover of this database again: `pgconvoy stop`.',
      });
    }
    await switchTraffic(context);
  },
});
