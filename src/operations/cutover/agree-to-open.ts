import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import { agreeToOpen as agree, undecided } from './agreement.ts';

/**
 * All databases of the run are opened on the target, or none is: decided in one transaction on the source, while the fences of all of
 * them stand and are in time.
 * @see https://www.postgresql.org/docs/current/sql-select.html#SQL-FOR-UPDATE-SHARE
 */
export const agreeToOpen = defineOperation({
  name: 'agree-to-open',
  title: 'All databases are opened together',
  scope: 'cluster',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({ databases: z.int() }),

  async check(context) {
    const { databases } = context.run;
    const missing = await undecided(context, databases);
    return missing.length > 0 ? lacks(missing) : holds({ databases: databases.length });
  },

  apply: (context) => agree(context, context.run.databases),
});
