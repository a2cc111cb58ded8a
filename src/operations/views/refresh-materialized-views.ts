import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { MaterializedView, materializedViews } from '../../postgres/catalog/materialized-views.ts';
import { id, sql } from '../../postgres/sql.ts';
import { tableKey } from '../../replication/table-names.ts';
import { openedDatabase } from '../cutover/opened.ts';
import { cutoverPoint } from '../cutover/rehearsal.ts';
import { policyOf } from '../unreplicated/policy.ts';

/** For which fence the views were refreshed: after another one their rows may be old. */
const Refreshed = z.object({ lsn: z.string() });
const refreshedKey = (database: string) => ({ kind: 'refreshed', database });

/**
 * Replication does not carry materialized views: those that hold rows on the source are computed on the target, behind the fence,
 * in the order in which they read each other.
 * @see https://www.postgresql.org/docs/current/sql-refreshmaterializedview.html
 */
export const refreshMaterializedViews = defineOperation({
  name: 'refresh-materialized-views',
  title: 'Every materialized view holds its rows',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({ views: z.int() }),

  async check(context) {
    if (policyOf(context, 'materializedViews') === 'leave') return holds({ views: 0 });
    const wanted = (await context.source.many(MaterializedView, materializedViews())).filter(
      ({ populated }) => populated,
    );
    if (wanted.length === 0 || (await openedDatabase(context))) return holds({ views: wanted.length });
    const present = await context.target.many(MaterializedView, materializedViews());
    const fresh = (await isFresh(context)) ? present.filter(({ populated }) => populated) : [];
    const known = new Set(fresh.map(tableKey));
    const missing = wanted.filter((view) => !known.has(tableKey(view)));
    return missing.length > 0 ? lacks(missing) : holds({ views: wanted.length });
  },

  async apply(context, missing) {
    const { source, target, targetLedger, signal, progress } = context;
    const lsn = await cutoverPoint(context);
    const before = await isFresh(context);
    // The note says that every populated view is fresh: others lose their rows before it is written.
    if (!before) await emptyViews(context);
    await targetLedger.replace(refreshedKey(source.name), { lsn: lsn ?? '' } satisfies z.output<typeof Refreshed>);
    const wanted = new Set(missing.map(tableKey));
    const views = (await target.many(MaterializedView, materializedViews())).filter((view) =>
      wanted.has(tableKey(view)),
    );
    for (const [done, { schema, name }] of views.entries()) {
      signal.throwIfAborted();
      progress({ done, total: views.length, unit: 'objects', note: `${schema}.${name}` });
      // Together, so that no view is left with rows and without statistics.
      await target.transaction(async () => {
        await target.run(sql`refresh materialized view ${id(schema, name)}`);
        await target.run(sql`analyze ${id(schema, name)}`);
      });
    }
  },

  async undo(context: OperationContext) {
    if (await openedDatabase(context)) return false;
    const emptied = await emptyViews(context);
    await context.targetLedger.forget(refreshedKey(context.source.name));
    return emptied > 0;
  },
});

async function isFresh(context: OperationContext): Promise<boolean> {
  const entry = await context.targetLedger.find(refreshedKey(context.source.name));
  if (!entry) return false;
  return Refreshed.parse(entry.before).lsn === ((await cutoverPoint(context)) ?? '');
}

async function emptyViews({ target }: OperationContext): Promise<number> {
  const populated = (await target.many(MaterializedView, materializedViews())).filter((view) => view.populated);
  for (const { schema, name } of populated) {
    await target.run(sql`refresh materialized view ${id(schema, name)} with no data`);
  }
  return populated.length;
}
