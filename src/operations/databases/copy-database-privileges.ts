import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { DatabaseDefinition, databaseDefinition } from '../../postgres/catalog/database-definitions.ts';
import { closeTarget, targetDefinition } from './closed-database.ts';
import { privilegeDifference, restorePrivileges } from './database-privileges.ts';
import type { WantedPrivileges } from './database-privileges.ts';

/** What the fence has noted before it changed the source: more fields may be there. */
const FenceNote = z.object({ acl: z.string().nullable(), connectionLimit: z.number() });

/**
 * Who may connect, create and make temporary tables in the database, and how many at once, is as on the source: with that,
 * users get in. Where the source is fenced, what was before the fence counts.
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
    const wanted = await wantedPrivileges(context);
    const { missing, surplus } = await privilegeDifference(context, wanted, context.sourceCluster);
    const different = [
      ...missing.map((each) => ({ what: 'missing', ...each })),
      ...surplus.map((each) => ({ what: 'surplus', ...each })),
      ...(found.connectionLimit === wanted.connectionLimit ? [] : [{ what: 'connection limit' }]),
    ];
    return different.length > 0 ? lacks(different) : holds({ connectionLimit: found.connectionLimit });
  },

  async apply(context) {
    await restorePrivileges(context, await wantedPrivileges(context), context.sourceCluster);
  },

  async undo(context) {
    if (!(await targetDefinition(context))?.isOpen) return false;
    await closeTarget(context);
    return true;
  },
});

async function wantedPrivileges({ sourceCluster, sourceLedger, source }: OperationContext): Promise<WantedPrivileges> {
  const fence = await sourceLedger.find({ kind: 'fence', database: source.name });
  if (fence) return FenceNote.parse(fence.before);
  return sourceCluster.maintenance.one(DatabaseDefinition, databaseDefinition(source.name));
}
