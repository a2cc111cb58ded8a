import type { OperationContext } from '../../engine/operation.ts';
import type { PgBouncer } from '../../postgres/pgbouncer.ts';
import { entriesOf } from './pgbouncer-file.ts';
import { readTextFile } from './replace-file.ts';

/** A database of a PgBouncer that leads to a database of ours. */
export interface Way {
  readonly pgbouncer: PgBouncer;
  /** Its name there. */
  readonly name: string;
}

/** By the configuration; where that does not say which, all of the file that have this name on the server. */
export async function waysTo(
  { traffic, source }: Pick<OperationContext, 'traffic' | 'source'>,
  database = source.name,
): Promise<Way[]> {
  const ways = await Promise.all(
    traffic.pgbouncers.map(async (pgbouncer) => {
      const leads = pgbouncer.databases
        ? Object.entries(pgbouncer.databases)
        : entriesOf(await readTextFile(pgbouncer.file)).map((entry) => [entry.name, entry.database] as const);
      return leads.filter(([, to]) => to === database).map(([name]) => ({ pgbouncer, name }));
    }),
  );
  return ways.flat();
}

/** For notes in the ledger: `127.0.0.1:6432/shop`. */
export const wayName = ({ pgbouncer, name }: Way): string => `${pgbouncer.place}/${name}`;
