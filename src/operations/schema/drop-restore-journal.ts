import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { databaseDefinition, DatabaseDefinition } from '../../postgres/catalog/database-definitions.ts';
import { dropJournal, journalExists } from './restore-journal.ts';

/**
 * Nothing of ours is left in the target's database when an upgrade is given up between the schema and its indexes: the journal of
 * the restore goes. For uninstall; where the upgrade went on, build-indexes has done it.
 */
export const dropRestoreJournal = defineOperation({
  name: 'drop-restore-journal',
  title: 'The target’s database holds no journal of the restore',
  scope: 'database',
  input: z.strictObject({}),
  output: z.strictObject({}),

  async check(context) {
    return (await isThere(context)) ? lacks([{ what: 'journal' }]) : holds({});
  },

  async apply(context) {
    if (await isThere(context)) await dropJournal(context);
  },
});

/** The database may never have been made. */
async function isThere({ target, targetCluster }: OperationContext): Promise<boolean> {
  const found = await targetCluster.maintenance.maybe(DatabaseDefinition, databaseDefinition(target.name));
  return found !== undefined && found.connectionLimit !== -2 && journalExists(target);
}
