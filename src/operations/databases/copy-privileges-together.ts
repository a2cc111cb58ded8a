import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import { closeTargets } from './closed-database.ts';
import { copyPrivileges, lookAtPrivileges } from './source-privileges.ts';

/**
 * What `copy-database-privileges` does, for all databases that are switched over together: in one message, so for all of them or none.
 */
export const copyPrivilegesTogether = defineOperation({
  name: 'copy-privileges-together',
  title: 'The privileges on all databases are those of the source',
  scope: 'cluster',
  queue: 'cutover',
  locks: 'databases',
  input: z.strictObject({}),
  output: z.strictObject({ databases: z.int() }),

  async check(context) {
    const { databases } = context.run;
    const { different } = await lookAtPrivileges(context, databases);
    return different.length > 0 ? lacks(different) : holds({ databases: databases.length });
  },

  apply: copyPrivileges,

  async undo(context) {
    return closeTargets(context, context.run.databases);
  },
});
