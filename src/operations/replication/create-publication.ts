import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { isReplicated, NamedTable, namedTables } from '../../postgres/catalog/tables.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import { id } from '../../postgres/sql.ts';
import type { TableName } from '../../replication/engine.ts';
import { tablesWithout } from '../../replication/table-names.ts';
import { waitsFor } from './locked-tables.ts';
import { pairOf } from './pair.ts';
import { isBehindIt, WayBack } from './way-back.ts';

type Missing = { readonly change: 'create' } | ({ readonly change: 'add' | 'remove' } & TableName);

/**
 * Our publication on the source names each table that carries rows: partitions instead of their roots, no unlogged tables.
 * The names are listed, since FOR ALL TABLES would break UPDATE on every new table that has no replica identity.
 * @see https://www.postgresql.org/docs/current/sql-createpublication.html
 */
export const createPublication = defineOperation({
  name: 'create-publication',
  title: 'Every table is published',
  scope: 'database',
  input: WayBack,
  output: z.strictObject({ tables: z.int() }),

  async check(context) {
    const [tables, published] = await Promise.all([
      replicatedTables(context),
      context.engine.publishedTables(pairOf(context)),
    ]);
    // Applications use what it would publish already: a table that they have made since is not there where the way back leads to.
    if (context.input.wayBack && (await isBehindIt(context))) return holds({ tables: published?.length ?? 0 });
    const missing: Missing[] = published ? [] : [{ change: 'create' }];
    for (const { schema, name } of tablesWithout(tables, published ?? []))
      missing.push({ change: 'add', schema, name });
    for (const { schema, name } of tablesWithout(published ?? [], tables))
      missing.push({ change: 'remove', schema, name });
    return missing.length > 0 ? lacks(missing) : holds({ tables: tables.length });
  },

  async apply(context, missing) {
    const { engine, settings, source, log, signal } = context;
    const tables = await replicatedTables(context);
    refuseWithoutIdentity(source, tables);
    try {
      await engine.publish(pairOf(context), tables, settings.deadlines.lockTimeout);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof DatabaseError && error.sqlstate === '55P03')) throw error;
      const added = missing.some(({ change }) => change === 'create') ? undefined : 'ShareRowExclusiveLock';
      throw await waitsFor(source, tables, `publishing the tables of database "${source.name}"`, error, added);
    }
    log.info({ changes: missing.length }, 'publication changed');
  },

  undo: (context: OperationContext<WayBack>) => context.engine.unpublish(pairOf(context)),
});

async function replicatedTables({ source }: Pick<OperationContext, 'source'>): Promise<NamedTable[]> {
  return (await source.many(NamedTable, namedTables())).filter(isReplicated);
}

/** Publishing such a table would at once break the application: each UPDATE and DELETE on it fails. */
function refuseWithoutIdentity(
  { side, name: database }: OperationContext['source'],
  tables: readonly NamedTable[],
): void {
  const bare = tables.filter((table) => table.identity !== 'f' && table.identityIndex === null);
  if (bare.length === 0) return;
  const names = bare.slice(0, 5).map(({ schema, name }) => id(schema, name).text);
  const more = bare.length > 5 ? ` and ${bare.length - 5} more` : '';
  throw new PgconvoyError(
    `${side}, database "${database}": ${names.join(', ')}${more} cannot be published, because there is no replica identity: UPDATE and DELETE would fail`,
    {
      hint: `Run \`pgconvoy fix\`, or on the ${side}: ALTER TABLE ${names[0]} REPLICA IDENTITY FULL; then retry the step.`,
    },
  );
}
