import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import { isAccepted } from '../../engine/finding.ts';
import { listed } from '../../engine/listed.ts';
import { defineOperation, holds } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import {
  ComparableTable,
  HashProbe,
  TableSum,
  comparableTables,
  hashProbe,
  tableSums,
} from '../../postgres/catalog/comparison.ts';
import type { Checksum } from '../../postgres/catalog/comparison.ts';
import type { Database } from '../../postgres/database.ts';
import { id } from '../../postgres/sql.ts';
import { offers } from '../../postgres/versions.ts';
import { tableKey } from '../../replication/table-names.ts';
import { openedDatabase } from '../cutover/opened.ts';

/** Small tables are compared many at a time, so that a thousand of them are no thousand round trips. */
const TABLES_AT_ONCE = 50;
const BYTES_AT_ONCE = 32 * 1_048_576;

/**
 * Source and target hold the same rows: counts and order-independent checksums of every replicated table, read on both sides at
 * the same time. Columns are compared by name, so a different order of them does not matter. A difference fails the step.
 * @see https://www.postgresql.org/docs/current/functions-aggregate.html
 */
export const compareTables = defineOperation({
  name: 'compare-tables',
  title: 'Source and target hold the same rows',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({
    method: z.enum(['checksum', 'count', 'none']),
    /** How rows became numbers. */
    checksum: z.enum(['hash', 'md5', 'none']),
    tables: z.int(),
    rows: z.number(),
    /** The largest tables, as both sides have them. */
    listed: z.array(z.strictObject({ table: z.string(), rows: z.number(), sum: z.string().nullable() })),
  }),

  async check(context) {
    const { source, target, settings, run } = context;
    if (settings.comparison === 'none' || (await openedDatabase(context))) {
      return holds({ method: 'none' as const, checksum: 'none' as const, tables: 0, rows: 0, listed: [] });
    }
    const [tables, present] = await Promise.all([
      source.many(ComparableTable, comparableTables()),
      target.many(ComparableTable, comparableTables()),
    ]);
    const { comparable, differences } = structure(tables, present);
    const checksum = settings.comparison === 'count' ? 'none' : await commonChecksum(context);
    const { sums, differences: contents } = await compareRows(context, comparable, checksum);
    // What was changed on the source alone, and is accepted, was told before the fence.
    const accepted = isAccepted({ code: 'schema-drift', database: source.name }, settings.accept);
    refuse(source.name, tables.length, accepted ? contents : [...differences, ...contents]);
    return holds({
      method: settings.comparison,
      checksum,
      tables: comparable.length,
      rows: [...sums.values()].reduce((total, { rows }) => total + rows, 0),
      listed: listed(comparable, run).map((table) => {
        const { rows, sum } = sums.get(table)!;
        return { table: id(table.schema, table.name).text, rows, sum };
      }),
    });
  },
});

interface Difference {
  readonly table: ComparableTable;
  readonly what: string;
}

/** Tables and columns that the target lacks; what remains can be compared. */
function structure(tables: readonly ComparableTable[], present: readonly ComparableTable[]) {
  const there = new Map(present.map((table) => [tableKey(table), new Set(table.columns)]));
  const differences: Difference[] = [];
  const comparable = tables.filter((table) => {
    const columns = there.get(tableKey(table));
    const lacking = table.columns.filter((column) => !columns?.has(column));
    if (!columns) differences.push({ table, what: 'the target lacks it' });
    else if (lacking.length > 0) differences.push({ table, what: `the target lacks column ${lacking.join(', ')}` });
    return columns && lacking.length === 0;
  });
  return { comparable, differences };
}

async function compareRows(
  context: OperationContext,
  tables: readonly ComparableTable[],
  checksum: Checksum,
): Promise<{ readonly sums: ReadonlyMap<ComparableTable, TableSum>; readonly differences: readonly Difference[] }> {
  const { settings, signal, progress } = context;
  const total = tables.reduce((sum, { bytes }) => sum + bytes, 0);
  const queue = batches(tables);
  const differences: Difference[] = [];
  const sums = new Map<ComparableTable, TableSum>();
  let rows = 0;
  let done = 0;
  const work = async (source: Database, target: Database) => {
    for (let batch = queue.shift(); batch; batch = queue.shift()) {
      signal.throwIfAborted();
      const [there, here] = await Promise.all([
        source.many(TableSum, tableSums(batch, checksum)),
        target.many(TableSum, tableSums(batch, checksum)),
      ]);
      const onTarget = new Map(here.map((sum) => [sum.n, sum]));
      for (const sum of there) {
        const table = batch[sum.n]!;
        const difference = differenceOf(sum, onTarget.get(sum.n)!);
        if (difference) differences.push({ table, what: difference });
        sums.set(table, sum);
        rows += sum.rows;
        done += table.bytes;
      }
      progress({ done, total, unit: 'bytes', rows, note: `${queue.length} batches of tables left` });
    }
  };
  await sideBySide(context, Math.min(queue.length, settings.budgets.tableWorkers), work);
  return { sums, differences };
}

/** The given sessions are the first pair; more are opened where there is work for them. */
async function sideBySide(
  { source, target }: OperationContext,
  count: number,
  work: (source: Database, target: Database) => Promise<void>,
): Promise<void> {
  const more = Array.from({ length: Math.max(0, count - 1) }, () => [source.fork(), target.fork()] as const);
  try {
    await Promise.all([[source, target] as const, ...more].map(([there, here]) => work(there, here)));
  } finally {
    await Promise.all(more.flat().map((session) => session.close()));
  }
}

async function commonChecksum({ source, target, sourceCluster, targetCluster }: OperationContext): Promise<Checksum> {
  const [there, here] = await Promise.all([sourceCluster.facts(), targetCluster.facts()]);
  if (!offers(there.major, 'extendedHash') || !offers(here.major, 'extendedHash')) return 'md5';
  const [one, other] = await Promise.all([source.one(HashProbe, hashProbe()), target.one(HashProbe, hashProbe())]);
  return one.hash === other.hash ? 'hash' : 'md5';
}

/** Largest first; a large one alone. */
function batches(tables: readonly ComparableTable[]): ComparableTable[][] {
  const result: ComparableTable[][] = [];
  let bytes = Infinity;
  for (const table of tables) {
    const last = result.at(-1);
    if (!last || bytes + table.bytes > BYTES_AT_ONCE || last.length === TABLES_AT_ONCE) {
      result.push([table]);
      bytes = table.bytes;
    } else {
      last.push(table);
      bytes += table.bytes;
    }
  }
  return result;
}

function differenceOf(source: TableSum, target: TableSum): string | undefined {
  if (source.rows !== target.rows) return `${source.rows} rows on the source, ${target.rows} on the target`;
  return source.sum === target.sum ? undefined : `${source.rows} rows on both, but not the same`;
}

function refuse(database: string, tables: number, differences: readonly Difference[]): void {
  if (differences.length === 0) return;
  const named = differences
    .slice(0, 10)
    .map(({ table: { schema, name }, what }) => `${id(schema, name).text}: ${what}`)
    .join('; ');
  throw new PgconvoyError(
    `database "${database}": ${differences.length} of ${tables} tables differ: ${named}${differences.length > 10 ? '; …' : ''}`,
    {
      hint: 'The source is still fenced. Either find out who changed the target (its triggers, or somebody who writes there), mend the rows and retry the step; or `pgconvoy cancel` the run, which gives the application its source back.',
    },
  );
}
