import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import {
  Referenced,
  referencedTables,
  RowSum,
  rowSums,
  UnloggedTable,
  unloggedTables,
} from '../../postgres/catalog/unreplicated.ts';
import { id, join, sql } from '../../postgres/sql.ts';
import { tableKey } from '../../replication/table-names.ts';
import { openedDatabase } from '../cutover/opened.ts';
import { copyFromSnapshot } from '../replication/copy-from-snapshot.ts';
import { nonEmptyTables } from '../replication/non-empty-tables.ts';
import { policyOf, refuseUnreplicated } from './policy.ts';

/** Tables looked at by one statement. */
const AT_ONCE = 50;

interface Missing extends UnloggedTable {
  readonly filledOnSource: boolean;
  readonly filledOnTarget: boolean;
}

const NOTHING = { unloggedTables: 0, unloggedRows: 0 };

/**
 * Unlogged tables have no WAL, so nothing tells what changed in them: their rows are copied behind the fence, several tables at a time,
 * and compared by count and checksum.
 * @see https://www.postgresql.org/docs/current/sql-createtable.html#SQL-CREATETABLE-UNLOGGED
 */
export const copyUnloggedTables = defineOperation({
  name: 'copy-unlogged-tables',
  title: 'Unlogged tables hold the rows of the source',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({ unloggedTables: z.int(), unloggedRows: z.number() }),

  async check(context) {
    const policy = policyOf(context, 'unloggedTables');
    if (policy === 'leave' || (await openedDatabase(context))) return holds(NOTHING);
    const { source } = context;
    const tables = await source.many(UnloggedTable, unloggedTables());
    if (tables.length > 0 && policy === 'block') {
      const names = tables.slice(0, 3).map(({ schema, name }) => id(schema, name).text);
      refuseUnreplicated(
        context,
        'unloggedTables',
        `unlogged tables (${names.join(', ')}${tables.length > 3 ? ', …' : ''})`,
      );
    }
    const { missing, rows } = await differing(context, tables);
    return missing.length > 0 ? lacks(missing) : holds({ unloggedTables: tables.length, unloggedRows: rows });
  },

  async apply(context, missing: readonly Missing[]) {
    await emptied(
      context,
      missing.filter(({ filledOnTarget }) => filledOnTarget),
    );
    const filled = missing.filter(({ filledOnSource }) => filledOnSource);
    if (filled.length > 0) await copyFromSnapshot(context, filled);
  },

  changes: (missing) => ({ unloggedTables: missing.length }),

  async undo(context: OperationContext) {
    const { source, target } = context;
    if (policyOf(context, 'unloggedTables') !== 'copy' || (await openedDatabase(context))) return false;
    const filled = await nonEmptyTables(target, await source.many(UnloggedTable, unloggedTables()));
    await emptied(context, filled);
    return filled.length > 0;
  },
});

/** Before rows are added up it is asked on which side there are any: at the first look the target has none. */
async function differing({ source, target }: OperationContext, tables: readonly UnloggedTable[]) {
  const [here, there] = await Promise.all(
    [source, target].map(async (side) => new Set((await nonEmptyTables(side, tables)).map(tableKey))),
  );
  const seen = tables.map((table): Missing => {
    const key = tableKey(table);
    return { ...table, filledOnSource: here!.has(key), filledOnTarget: there!.has(key) };
  });
  const oneSided = seen.filter(({ filledOnSource, filledOnTarget }) => filledOnSource !== filledOnTarget);
  const { missing, rows } = await unequal(
    { source, target },
    seen.filter(({ filledOnSource, filledOnTarget }) => filledOnSource && filledOnTarget),
  );
  return { missing: [...oneSided, ...missing], rows };
}

async function unequal({ source, target }: Pick<OperationContext, 'source' | 'target'>, tables: readonly Missing[]) {
  const missing: Missing[] = [];
  let rows = 0;
  for (let start = 0; start < tables.length; start += AT_ONCE) {
    const some = tables.slice(start, start + AT_ONCE);
    const [here, there] = await Promise.all([source, target].map((side) => side.many(RowSum, rowSums(some))));
    const copied = new Map(there!.map((sum) => [sum.n, sum]));
    for (const { n, rows: count, sum } of here!) {
      rows += count;
      const other = copied.get(n);
      if (other?.rows !== count || other.sum !== sum) missing.push(some[n]!);
    }
  }
  return { missing, rows };
}

/** Keys and triggers are there already: nothing of them fires, and what a foreign key leads to is not refused. */
async function emptied(
  { target, settings }: OperationContext,
  tables: readonly { readonly schema: string; readonly name: string }[],
): Promise<void> {
  if (tables.length === 0) return;
  const lockTimeoutMs = settings.deadlines.lockTimeout;
  const referenced = new Set((await target.many(Referenced, referencedTables(tables))).map(tableKey));
  const plain = tables.filter((table) => !referenced.has(tableKey(table)));
  await target.transaction(async () => {
    await target.run(sql`set local session_replication_role = replica`);
    if (plain.length > 0) {
      const names = join(
        plain.map(({ schema, name }) => id(schema, name)),
        ', only ',
      );
      await target.run(sql`truncate only ${names}`, { lockTimeoutMs });
    }
    for (const { schema, name } of tables) {
      if (referenced.has(tableKey({ schema, name }))) await target.run(sql`delete from only ${id(schema, name)}`);
    }
  });
}
