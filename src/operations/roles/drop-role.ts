import * as z from 'zod';
import type { BoundCluster } from '../../postgres/cluster.ts';
import { id, sql } from '../../postgres/sql.ts';

const Found = z.object({});
const Holder = z.object({ database: z.string() });

/**
 * Drops a role of ours by its name, with whatever privileges somebody gave it, or the lane of a database left behind. Says whether it
 * was there.
 * @see https://www.postgresql.org/docs/current/sql-drop-owned.html
 */
export async function dropRole(cluster: BoundCluster, role: string): Promise<boolean> {
  const { maintenance } = cluster;
  if (!(await maintenance.maybe(Found, sql`select from pg_roles where rolname = ${role}`))) return false;
  for (const { database } of await maintenance.many(Holder, databasesWithPrivilegesOf(role))) {
    await cluster.database(database).run(sql`drop owned by ${id(role)}`);
  }
  await maintenance.run(sql`drop role ${id(role)}`);
  return true;
}

/** Names of the databases that hold privileges of a role; those of shared objects count for the one we are in. */
const databasesWithPrivilegesOf = (role: string) => sql`
  select distinct d.datname as database
    from pg_shdepend s join pg_database d on d.oid = s.dbid or s.dbid = 0 and d.datname = current_database()
   where s.refclassid = 'pg_authid'::regclass
     and s.refobjid = (select oid from pg_authid where rolname = ${role})
     and d.datallowconn`;
