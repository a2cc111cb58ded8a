import * as z from 'zod';
import type { Database } from '../../postgres/database.ts';
import { Ledger } from '../../postgres/ledger.ts';
import { id, sql } from '../../postgres/sql.ts';
import type { Pair } from '../engine.ts';

const key = ({ name }: Database) => ({ kind: 'quiet-log', database: name });

const Answer = z.object({ yes: z.boolean() });

/**
 * A worker of pglogical that cannot connect writes its connection string, with the password, into the server's log, as a detail of the
 * error. So details are left out for this database, unless somebody has decided on them.
 * @see https://www.postgresql.org/docs/current/runtime-config-logging.html#GUC-LOG-ERROR-VERBOSITY
 */
export async function quietLog({ target, targetCluster }: Pair): Promise<void> {
  const { yes } = await target.one(
    Answer,
    sql`select exists (select from pg_db_role_setting s, unnest(s.setconfig) as c (setting)
                        where s.setdatabase = (select oid from pg_database where datname = current_database())
                          and s.setrole = 0 and c.setting like 'log\\_error\\_verbosity=%') as yes`,
  );
  if (yes) return;
  await new Ledger(targetCluster).record(key(target), null);
  await target.run(sql`alter database ${id(target.name)} set log_error_verbosity = 'terse'`);
}

/** Says whether there was anything to end. */
export async function endQuietLog({ target, targetCluster }: Pair): Promise<boolean> {
  const ledger = new Ledger(targetCluster);
  if (!(await ledger.find(key(target)))) return false;
  const { yes } = await targetCluster.maintenance.one(
    Answer,
    sql`select exists (select from pg_database where datname = ${target.name}) as yes`,
  );
  if (yes) await targetCluster.maintenance.run(sql`alter database ${id(target.name)} reset log_error_verbosity`);
  await ledger.forget(key(target));
  return true;
}
