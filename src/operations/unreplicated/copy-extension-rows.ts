import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { SequenceValue, sequenceValues, setSequences } from '../../postgres/catalog/sequences.ts';
import {
  copyExtensionRowsIn,
  copyExtensionRowsOut,
  ExtensionTable,
  extensionTables,
  removeExtensionRows,
  RowSum,
  rowSums,
} from '../../postgres/catalog/unreplicated.ts';
import { copyRows } from '../../postgres/copy.ts';
import type { Database } from '../../postgres/database.ts';
import { id, sql } from '../../postgres/sql.ts';
import { tableKey } from '../../replication/table-names.ts';
import { openedDatabase } from '../cutover/opened.ts';
import { policyOf, refuseUnreplicated } from './policy.ts';

const NOTHING = { extensionTables: 0, extensionRows: 0 };
const Encoding = z.object({ encoding: z.string() });

/**
 * Tables of extensions belong to the extension, so they are in no publication. The rows in them that are the users' (jobs, settings,
 * coordinate systems) are those that pg_dump takes along too; so are the states of such sequences. No trigger fires.
 * @see https://www.postgresql.org/docs/current/extend-extensions.html#EXTEND-EXTENSIONS-CONFIG-TABLES
 */
export const copyExtensionRows = defineOperation({
  name: 'copy-extension-rows',
  title: 'Tables of extensions hold the rows of users that the source has in them',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({ extensionTables: z.int(), extensionRows: z.number() }),

  async check(context) {
    const { source, target } = context;
    const policy = policyOf(context, 'extensionRows');
    if (policy === 'leave' || (await openedDatabase(context))) return holds(NOTHING);
    const tables = await source.many(ExtensionTable, extensionTables());
    const here = await statesOf(source, tables);
    const rows = [...here.values()].reduce((sum, state) => sum + state.rows, 0);
    if (rows > 0 && policy === 'block') refuseUnreplicated(context, 'extensionRows', 'rows in tables of extensions');
    // Nothing of the users on either side: the target need not have the tables.
    const known = new Set((await target.many(ExtensionTable, extensionTables())).map(tableKey));
    const there = await statesOf(
      target,
      tables.filter((table) => known.has(tableKey(table))),
    );
    const missing = tables.filter((table) => {
      const key = tableKey(table);
      // A newer version may do without a sequence; rows must have their place.
      if (table.kind === 'S' && !known.has(key)) return false;
      return here.get(key)!.state !== (there.get(key)?.state ?? NO_ROWS);
    });
    const lost = missing.find((table) => !known.has(tableKey(table)));
    if (lost) throw notThere(target, lost);
    return missing.length > 0 ? lacks(missing) : holds({ extensionTables: tables.length, extensionRows: rows });
  },

  async apply({ source, target, signal }, missing: readonly ExtensionTable[]) {
    const sequences = missing.filter(({ kind }) => kind === 'S');
    const { encoding } = await source.one(Encoding, sql`select getdatabaseencoding() as encoding`);
    await inReplica(source, target, async () => {
      for (const table of missing.filter(({ kind }) => kind === 'r')) {
        signal.throwIfAborted();
        await target.run(removeExtensionRows(table));
        await copyRows(
          { from: source, out: copyExtensionRowsOut(table, encoding) },
          { to: target, into: copyExtensionRowsIn(table, encoding) },
          () => {},
        );
      }
    });
    if (sequences.length > 0) await target.run(setSequences(await valuesOf(source, sequences)));
  },

  changes: (missing) => ({ extensionTables: missing.map(({ schema, name }) => id(schema, name).text) }),

  async undo(context: OperationContext) {
    const { source, target } = context;
    if (policyOf(context, 'extensionRows') !== 'copy' || (await openedDatabase(context))) return false;
    const tables = (await target.many(ExtensionTable, extensionTables())).filter(({ kind }) => kind === 'r');
    let removed = 0;
    await inReplica(source, target, async () => {
      for (const table of tables) removed += await target.run(removeExtensionRows(table));
    });
    return removed > 0;
  },
});

interface State {
  readonly state: string;
  readonly rows: number;
}
const NO_ROWS = '0 ';

/** By table: what its rows, or its value, come to. */
async function statesOf(database: Database, tables: readonly ExtensionTable[]): Promise<Map<string, State>> {
  const filled = tables.filter(({ kind }) => kind === 'r');
  const states = new Map<string, State>();
  if (filled.length > 0) {
    for (const { n, rows, sum } of await database.many(RowSum, rowSums(filled))) {
      states.set(tableKey(filled[n]!), { state: `${rows} ${sum ?? ''}`, rows });
    }
  }
  const sequences = tables.filter(({ kind }) => kind === 'S');
  for (const value of sequences.length > 0 ? await valuesOf(database, sequences) : []) {
    states.set(tableKey(value), { state: `${value.last} ${value.called}`, rows: 0 });
  }
  return states;
}

const valuesOf = (database: Database, sequences: readonly ExtensionTable[]) =>
  database.many(SequenceValue, sequenceValues(sequences));

/** Both sides in a transaction each, with numbers as text that every major reads back; on the target nothing fires. */
function inReplica(source: Database, target: Database, body: () => Promise<void>): Promise<void> {
  return source.transaction(async () => {
    await source.run(sql`set transaction isolation level repeatable read, read only; set local extra_float_digits = 3`);
    await target.transaction(async () => {
      await target.run(sql`set local session_replication_role = replica; set local extra_float_digits = 3`);
      await body();
    });
  });
}

const notThere = (
  { side, name: database }: Database,
  { extension, schema, name: table }: ExtensionTable,
): PgconvoyError =>
  new PgconvoyError(
    `${side}, database "${database}": the extension "${extension}" has no table ${id(schema, table).text} there, whose rows have to be copied`,
    {
      hint: `Install a version of "${extension}" on the ${side} that has it; or set notReplicated.extensionRows: leave. Then retry the step.`,
    },
  );
