import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import { fenceKey } from '../cutover/fence.ts';
import { openedDatabase } from '../cutover/opened.ts';
import { closeTarget, targetDefinition } from './closed-database.ts';
import { privilegeDifference, restorePrivileges } from './database-privileges.ts';
import { sourceDefinition } from './source-definition.ts';

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
    const found = await targetDefinition(context);
    if (!found) return lacks([{ what: 'database' }]);
    if (await openedDatabase(context)) return holds({ connectionLimit: found.connectionLimit });
    const wanted = await sourceDefinition(context);
    // Applications have left it before, so its fence keeps it closed: when that is lowered they are given back (`letIn`).
    if (await context.targetLedger.find(fenceKey(context.target.name)))
      return holds({ connectionLimit: wanted.connectionLimit });
    const { missing, surplus } = await privilegeDifference(context, wanted, context.sourceCluster);
    const different = [
      ...missing.map((each) => ({ what: 'missing', ...each })),
      ...surplus.map((each) => ({ what: 'surplus', ...each })),
      ...(found.connectionLimit === 0 ? [] : [{ what: 'closed to users' }]),
    ];
    return different.length > 0 ? lacks(different) : holds({ connectionLimit: wanted.connectionLimit });
  },

  async apply(context) {
    // Closed all the same: `letIn` opens it, once it is decided.
    const wanted = { ...(await sourceDefinition(context)), connectionLimit: 0 };
    await restorePrivileges(context, wanted, context.sourceCluster);
  },

  async undo(context) {
    return closeTarget(context);
  },
});
