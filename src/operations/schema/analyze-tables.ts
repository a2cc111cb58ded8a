import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { UnanalyzedTable as Table } from '../../postgres/catalog/unanalyzed-tables.ts';
import { UnanalyzedTable, unanalyzedTables } from '../../postgres/catalog/unanalyzed-tables.ts';
import { id, join, sql } from '../../postgres/sql.ts';
import type { Database } from '../../postgres/database.ts';
import { offers } from '../../postgres/versions.ts';
import { openedDatabase } from '../cutover/opened.ts';

/** Small tables go in one statement (each still has a transaction of its own), so that the way there and back does not count. */
const SMALL_BYTES = 8_000_000;
const AT_ONCE = 50;

/**
 * Every table with rows has statistics for the planner: without them the first queries after the cutover are planned blindly.
 * @see https://www.postgresql.org/docs/current/sql-analyze.html
 */
export const analyzeTables = defineOperation({
  name: 'analyze-tables',
  title: 'Every table has statistics',
  scope: 'database',
  queue: 'copy',
  input: z.strictObject({}),
  /** From its opening on applications make tables in it, and have them analyzed as they like. */
  output: z.union([z.strictObject({ unanalyzed: z.literal(0) }), z.strictObject({ opened: z.literal(true) })]),

  async check(context) {
    if (await openedDatabase(context)) return holds({ opened: true as const });
    const { target } = context;
    const tables = await target.many(UnanalyzedTable, unanalyzedTables());
    return tables.length > 0 ? lacks(tables) : holds({ unanalyzed: 0 as const });
  },

  async apply({ target, targetCluster, settings, signal, progress }, tables: readonly Table[]) {
    const { major } = await targetCluster.facts();
    const groups = groupsOf(tables, offers(major, 'analyzeSeveral') ? AT_ONCE : 1);
    const total = tables.reduce((sum, { kind, bytes }) => sum + (kind === 'p' ? 0 : bytes), 0);
    let done = 0;
    const work = async (session: Database) => {
      try {
        for (let group = groups.shift(); group; group = groups.shift()) {
          signal.throwIfAborted();
          progress({ done, total, unit: 'bytes', note: `${group[0]!.schema}.${group[0]!.name}` });
          await session.run(sql`analyze ${join(group.map(({ schema, name }) => id(schema, name)))}`);
          done += group.reduce((sum, { kind, bytes }) => sum + (kind === 'p' ? 0 : bytes), 0);
          progress({ done, total, unit: 'bytes' });
        }
      } finally {
        await session.close();
      }
    };
    const workers = Math.min(groups.length, settings.budgets.indexWorkers);
    const results = await Promise.allSettled(
      Array.from({ length: workers }, (_, index) => work(index === 0 ? target : target.fork())),
    );
    const broken = results.find((result) => result.status === 'rejected');
    if (broken) throw broken.reason;
  },
});

/** Large tables first and alone, the others together. A partitioned table is read by its partitions, so it counts as large. */
function groupsOf(tables: readonly Table[], atOnce: number): Table[][] {
  const isLarge = ({ bytes }: Table) => bytes >= SMALL_BYTES;
  const small = tables.filter((table) => !isLarge(table));
  const groups = tables.filter(isLarge).map((table) => [table]);
  for (let start = 0; start < small.length; start += atOnce) groups.push(small.slice(start, start + atOnce));
  return groups;
}
