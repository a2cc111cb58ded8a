import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import { InventoryItem, inventoryDifference, schemaInventory } from '../../postgres/catalog/inventory.ts';
import { openedDatabase } from '../cutover/opened.ts';
import { acceptMade, beginBaseline, bothFingerprints } from '../drift/baseline.ts';
import { refuseChanged } from '../drift/refuse-changed.ts';
import { clearDatabase } from './clear-database.ts';
import { planRestore } from './plan-restore.ts';
import { describeEntry, failuresError, RestoreSession } from './restore-entries.ts';
import { countPending, dropJournal, pendingEntries } from './restore-journal.ts';
import { forgetSchema, markBegun, schemaState } from './schema-state.ts';

/**
 * Tables, types, functions, views and everything else that comes before the rows, with owners, privileges and comments; of
 * indexes only primary keys and replica identities. Each object that fails is named with its cause.
 * @see https://www.postgresql.org/docs/current/app-pgdump.html
 */
export const copySchema = defineOperation({
  name: 'copy-schema',
  title: 'The target has the schema of the source',
  scope: 'database',
  input: z.strictObject({}),
  output: z.strictObject({ objects: z.int() }),

  async check(context) {
    const { source, target } = context;
    if ((await schemaState(context)) === 'nothing') return lacks([{ problem: 'not begun' }]);
    const pending = await countPending(target, 'schema');
    if (pending > 0) return lacks([{ problem: 'not finished', pending }]);
    const isOpened = (await openedDatabase(context)) !== undefined;
    const [wanted, present] = await Promise.all(
      [source, target].map((database) => database.many(InventoryItem, schemaInventory())),
    );
    // From its opening on the applications change it as they like.
    const missing = isOpened ? [] : inventoryDifference(wanted!, present!);
    return missing.length > 0 ? lacks(missing) : holds({ objects: wanted!.length });
  },

  async apply(context) {
    const { target, progress } = context;
    // Finished once, but something is missing now: what is there stays, and what comes after the copy is there too.
    const isRepair = (await schemaState(context)) === 'complete';
    // Before the dump: what somebody changes after it is drift.
    const before = isRepair ? await bothFingerprints(context) : undefined;
    if (!before) await beginBaseline(context);
    await planRestore(context, isRepair ? ['schema'] : ['schema', 'late']);
    await markBegun(context);
    const entries = await pendingEntries(target, 'schema');
    let done = 0;
    const session = await RestoreSession.open(context, target, {
      tolerateExisting: isRepair,
      onStart: ([first]) =>
        progress({ done, total: entries.length, unit: 'objects', ...(first ? { note: describeEntry(first) } : {}) }),
      onDone: (made) => {
        done += made.length;
        progress({ done, total: entries.length, unit: 'objects' });
      },
    });
    await session.restoreAll(entries);
    if (session.failures.length > 0) throw failuresError(target.name, session.failures, entries.length);
    if (!before) return;
    await dropJournal(context);
    await acceptMade(context, before);
    await refuseChanged(context, schemaInventory());
  },

  async undo(context) {
    if ((await schemaState(context)) === 'nothing') return false;
    const isOpened = (await openedDatabase(context)) !== undefined;
    if (!isOpened) await clearDatabase(context);
    await forgetSchema(context);
    return !isOpened;
  },
});
