import * as z from 'zod';
import type { BoundCluster } from '../postgres/cluster.ts';
import { sql } from '../postgres/sql.ts';
import type { Sql } from '../postgres/sql.ts';
import { subscriptionName } from './names.ts';

/** The origins in which these subscriptions of ours on the target keep their positions, as a query of rows (subscription, name). */
export type OriginsQuery = (subscriptions: readonly string[]) => Sql;

/** Positions of the source's WAL, by database. */
export type Positions = ReadonlyMap<string, string>;

/** The origins (alias o), each with what is given for its subscription (alias w). */
function given(positions: Positions, origins: OriginsQuery): Sql {
  const databases = [...positions.keys()];
  const names = databases.map(subscriptionName);
  return sql`(${origins(names)}) o
    join unnest(${databases}::text[], ${names}::text[], ${[...positions.values()]}::text[]) w (database, subscription, lsn)
      on w.subscription = o.subscription`;
}

/**
 * A worker asks the source for what comes behind the position of its origin, so what is skipped here is not even sent, however much WAL
 * lies between the slot's begin and it. In memory and in the WAL at once; with the next commit it is on the disk.
 * @see https://www.postgresql.org/docs/current/replication-origins.html
 */
export async function beginAt(targetCluster: BoundCluster, positions: Positions, origins: OriginsQuery): Promise<void> {
  if (positions.size === 0) return;
  // Origins belong to the cluster: the databases themselves may be closed.
  await targetCluster.maintenance.run(
    sql`select pg_replication_origin_advance(o.name, w.lsn::pg_lsn) from ${given(positions, origins)}`,
  );
}

const Begins = z.object({ database: z.string() });

export async function beginsAt(
  targetCluster: BoundCluster,
  positions: Positions,
  origins: OriginsQuery,
): Promise<ReadonlySet<string>> {
  if (positions.size === 0) return new Set();
  const rows = await targetCluster.maintenance.many(
    Begins,
    sql`select w.database from ${given(positions, origins)} join pg_replication_origin r on r.roname = o.name
         where pg_replication_origin_progress(r.roname, false) >= w.lsn::pg_lsn`,
  );
  return new Set(rows.map(({ database }) => database));
}
