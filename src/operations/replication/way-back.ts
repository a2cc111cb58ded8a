import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';
import { fragment, id, sql } from '../../postgres/sql.ts';
import type { Fragment } from '../../postgres/sql.ts';
import { openedDatabase, openedOnSource } from '../cutover/opened.ts';
import { closeTarget } from '../databases/closed-database.ts';

/** What steps are told that prepare the way back: applications use the cluster that it leads to. */
export const WayBack = z.strictObject({ wayBack: z.literal(true).optional() });
export type WayBack = z.output<typeof WayBack>;

type Context = Pick<
  OperationContext<WayBack>,
  'input' | 'source' | 'sourceLedger' | 'sourceCluster' | 'targetLedger' | 'targetCluster'
>;

/**
 * What this replication is for has happened: applications have been led to its target. The way back is for those that still are there;
 * once they have come to where it begins, nobody prepares it any more.
 */
export async function isBehindIt(context: Context): Promise<boolean> {
  const opened = context.input.wayBack ? openedOnSource(context) : openedDatabase(context);
  return (await opened) !== undefined;
}

/** The other direction: what this context sees as its source is the target there. */
export const swapped = <I>(context: OperationContext<I>): OperationContext<I> => ({
  ...context,
  source: context.target,
  target: context.source,
  sourceCluster: context.targetCluster,
  targetCluster: context.sourceCluster,
  sourceLedger: context.targetLedger,
  targetLedger: context.sourceLedger,
});

const Limit = z.object({ limit: z.number() });

/**
 * The way back begins in a database that is still closed by its connection limit, also to the replication role. For as long as this
 * takes there is room for connections, and nobody else has the privilege: a cutover that was given back has granted it already, so it is
 * taken first. Whatever opens the database closes it first.
 * @see https://www.postgresql.org/docs/current/sql-alterdatabase.html
 */
export async function withRoom<T>(context: Context, body: () => Promise<T>): Promise<T> {
  if (!context.input.wayBack) return body();
  const { maintenance } = context.sourceCluster;
  const name = context.source.name;
  const { limit } = await maintenance.one(
    Limit,
    sql`select datconnlimit as "limit" from pg_database where datname = ${name}`,
  );
  if (limit !== 0) return body();
  await closeTarget({ targetCluster: context.sourceCluster, target: context.source });
  const set = (to: Fragment) => maintenance.run(sql`alter database ${id(name)} connection limit ${to}`);
  await set(fragment`-1`);
  try {
    return await body();
  } finally {
    await set(fragment`0`);
  }
}
