import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { createDatabase } from '../../../src/operations/databases/create-database.ts';
import { buildIndexes } from '../../../src/operations/schema/build-indexes.ts';
import { createDeferredTriggers } from '../../../src/operations/schema/create-deferred-triggers.ts';
import type { TestPair } from '../../helpers/pair.ts';
import type { ClusterInfo } from '../../helpers/servers.ts';

const run = promisify(execFile);

/** A database of the source, and an empty one of that name on the target. */
export async function databaseOn(both: TestPair, base: string, statements: string): Promise<string> {
  const name = await both.database(base, statements);
  await runOperation(createDatabase, both.context(name));
  return name;
}

/** The schema as the newest pg_dump shows it, but for what differs in every dump. */
export async function dump(both: TestPair, info: ClusterInfo, database: string): Promise<string[]> {
  const { bin } = await both.clusters.programs.version();
  const { stdout } = await run(join(bin, 'pg_dump'), ['--schema-only', '--exclude-schema=pgconvoy'], {
    env: {
      PGHOST: info.host,
      PGPORT: String(info.port),
      PGUSER: info.user,
      PGPASSWORD: info.password,
      PGDATABASE: database,
    },
    maxBuffer: 1e8,
  });
  return (
    stdout
      .split('\n')
      .filter((line) => !/^(--|\\|SET default_table|$)|pg_attver/.test(line))
      // Majors differ in whether a view names the only table it reads, in words, and in what a range brings along.
      .filter((line) => !line.includes('multirange_type_name'))
      .map((line) => line.replaceAll(/\b(child|parted)\.|,$/g, '').replace('EXECUTE PROCEDURE', 'EXECUTE FUNCTION'))
      .toSorted()
  );
}

export async function everythingAfterTheCopy(both: TestPair, name: string): Promise<void> {
  await runOperation(buildIndexes, both.context(name));
  await runOperation(createDeferredTriggers, both.context(name));
}
