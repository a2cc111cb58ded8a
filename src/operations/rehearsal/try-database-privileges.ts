import * as z from 'zod';
import { definePreflight, holds } from '../../engine/operation.ts';
import { openedDatabase } from '../cutover/opened.ts';
import { privilegeDifference, tryPrivileges } from '../databases/database-privileges.ts';
import { sourceDefinition } from '../databases/source-definition.ts';

/**
 * The privileges on the target's database could be given now: they are, in a transaction that is rolled back. A rehearsal must not let
 * anybody in.
 */
export const tryDatabasePrivileges = definePreflight({
  name: 'try-database-privileges',
  title: 'The privileges on the database could be those of the source',
  scope: 'database',
  queue: 'cutover',
  exclusive: () => true,
  input: z.strictObject({}),
  output: z.strictObject({ privileges: z.int() }),

  async check(context) {
    if (await openedDatabase(context)) return holds({ privileges: 0 });
    const wanted = await sourceDefinition(context);
    const { missing, surplus } = await privilegeDifference(context, wanted, context.sourceCluster);
    await tryPrivileges(context, wanted, context.sourceCluster);
    return holds({ privileges: missing.length + surplus.length });
  },
});
