import { PgconvoyError } from '../../errors.ts';
import type { Database } from '../../postgres/database.ts';
import { describeLockHolder, lockHolders } from '../../postgres/locks.ts';
import type { LockMode } from '../../postgres/locks.ts';
import type { TableName } from '../../replication/engine.ts';

/** The error for a table's lock that was not had in time: names who holds it. `what` is what waits, e.g. "publishing …". */
export async function waitsFor(
  database: Database,
  tables: readonly TableName[],
  what: string,
  cause: unknown,
  wanted: LockMode = 'ShareUpdateExclusiveLock',
): Promise<PgconvoyError> {
  const holders = await lockHolders(database, tables, wanted);
  const named = holders.slice(0, 5).map(describeLockHolder).join('; ');
  return new PgconvoyError(
    `${database.side}, database "${database.name}": ${what} waits for a lock: ${named === '' ? 'its holder has just gone' : named}`,
    {
      hint: holders[0]?.pid
        ? `It is tried again until the deadline; to help, on the ${database.side}: SELECT pg_terminate_backend(${holders[0].pid});`
        : 'It is tried again until the deadline.',
      disposition: 'wait',
      cause,
    },
  );
}
