import type { OperationContext } from '../../engine/operation.ts';
import { PgconvoyError } from '../../errors.ts';
import { DropHangs, dropHangs } from '../../postgres/catalog/undroppable.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import { id, sql } from '../../postgres/sql.ts';

/** Removing the files of a large database takes a while; longer than this, something holds it up. */
const DROP_MS = 5 * 60_000;

/**
 * Drops the target's database, which nobody needs.
 * @throws PgconvoyError where that would wait for ever, before anything is done: an interrupted DROP DATABASE leaves an invalid one
 * @see https://www.postgresql.org/docs/current/sql-dropdatabase.html
 */
export async function dropDatabase(context: OperationContext): Promise<void> {
  const { target, targetCluster } = context;
  const { maintenance } = targetCluster;
  const { hangs } = await maintenance.one(DropHangs, dropHangs());
  if (hangs) throw wouldHang(target.name);
  await endSessions(context);
  await maintenance.run(sql`alter database ${id(target.name)} is_template false`);
  try {
    await maintenance.run(sql`drop database ${id(target.name)}`, { statementTimeoutMs: DROP_MS });
  } catch (error) {
    if (!(error instanceof DatabaseError && error.sqlstate === '57014')) throw error;
    throw new PgconvoyError(
      `target, database "${target.name}": DROP DATABASE has not come to an end within ${DROP_MS} ms`,
      {
        hint: `See in pg_stat_activity of the target what it waits for; when that is gone: DROP DATABASE ${id(target.name).text}; then retry the step.`,
        cause: error,
      },
    );
  }
}

const wouldHang = (database: string): PgconvoyError =>
  new PgconvoyError(
    `target, database "${database}": it cannot be dropped, because DROP DATABASE waits for ever on this server as long as pglogical (before 2.4.6) is loaded`,
    {
      hint: `Take pglogical out of shared_preload_libraries of the target (or update it), restart the target, then retry the step. Or leave the database: pgconvoy uninstall keeps it.`,
    },
  );

/**
 * Ends what this tool itself still has open in the database: kept sessions of this process and those of other workers, and what
 * pglogical started there for it.
 */
async function endSessions({ targetCluster, target }: OperationContext): Promise<void> {
  await target.close();
  await targetCluster.cluster.forget(target.name);
  await targetCluster.maintenance.run(
    sql`select pg_terminate_backend(pid) from pg_stat_activity
         where datname = ${target.name} and pid <> pg_backend_pid()
           and (application_name like 'pgconvoy/%' or backend_type like 'pglogical %')`,
  );
}
