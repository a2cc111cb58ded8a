import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import { closeTarget } from './closed-database.ts';
import { copyPrivileges, lookAtPrivileges } from './source-privileges.ts';

/**
 * Who may connect, create and make temporary tables in the database is as on the source; its connection limit goes on keeping everybody
 * out. Where the source is fenced, what was before the fence counts.
 */
export const copyDatabasePrivileges = defineOperation({
  name: 'copy-database-privileges',
  title: 'The privileges on the database are those of the source',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({ connectionLimit: z.int() }),

  async check(context) {
    const { name } = context.source;
    const { different, limits } = await lookAtPrivileges(context, [name]);
    return different.length > 0 ? lacks(different) : holds({ connectionLimit: limits.get(name)! });
  },

  apply: copyPrivileges,

  async undo(context) {
    return closeTarget(context);
  },
});
