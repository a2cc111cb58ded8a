import * as z from 'zod';
import { sql } from '../postgres/sql.ts';
import type { Sql } from '../postgres/sql.ts';
import type { Pair } from './engine.ts';

/** The name of the origin in which a subscription of ours on the target keeps its position, as a query of one row. */
export type OriginQuery = (database: string) => Sql;

/**
 * A worker asks the source for what comes behind the position of its origin, so what is skipped here is not even sent, however much WAL
 * lies between the slot's begin and it. In memory and in the WAL at once; with the next commit it is on the disk.
 * @see https://www.postgresql.org/docs/current/replication-origins.html
 */
export async function beginAt({ target, targetCluster }: Pair, origin: OriginQuery, lsn: string): Promise<void> {
  // Origins belong to the cluster: the database itself may be closed.
  await targetCluster.maintenance.run(
    sql`select pg_replication_origin_advance(o.name, ${lsn}::pg_lsn) from (${origin(target.name)}) o`,
  );
}

const Yes = z.object({ yes: z.boolean() });

export async function beginsAt({ target, targetCluster }: Pair, origin: OriginQuery, lsn: string): Promise<boolean> {
  const row = await targetCluster.maintenance.maybe(
    Yes,
    sql`select coalesce(pg_replication_origin_progress(r.roname, false) >= ${lsn}::pg_lsn, false) as yes
          from (${origin(target.name)}) o join pg_replication_origin r on r.roname = o.name`,
  );
  return row?.yes ?? false;
}
