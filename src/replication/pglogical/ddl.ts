import type { Database } from '../../postgres/database.ts';
import { sql } from '../../postgres/sql.ts';
import { REPLICATION_SET } from './names.ts';
import { refuseGenerated } from './provider.ts';

/**
 * Runs statements on the source and puts them into the stream, between the rows of before and after. pglogical runs them with an empty
 * search_path on either side, as the role that has sent them, so they begin with the path that is meant.
 * @see https://github.com/2ndQuadrant/pglogical#additional-functions
 */
export async function replicateDdl(source: Database, statements: readonly string[], path: string): Promise<void> {
  const text = [`set local search_path = ${path}`, ...statements].join(';\n');
  await source.run(sql`select pglogical.replicate_ddl_command(${text}, ${[REPLICATION_SET]}::text[])`);
  // Before it is committed, so nothing is sent.
  await refuseGenerated(source);
}
