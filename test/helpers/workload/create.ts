/** Makes the roles and databases of the workload on a source. */
import pg from 'pg';
import type { ClusterInfo } from '../servers.ts';
import { query, withSession } from './session.ts';
import { roles, roleStatements } from './workload.ts';
import type { WorkloadDatabase } from './workload.ts';

/** Creates roles and databases with their content; two databases at a time. */
export async function createWorkload(
  source: ClusterInfo,
  databases: readonly WorkloadDatabase[],
  onCreated: (database: WorkloadDatabase) => void = () => {},
): Promise<void> {
  await query(source, 'postgres', Object.entries(roles).map(createRole).join('\n') + roleStatements);
  // One after the other: each CREATE DATABASE needs template0 for itself.
  for (const database of databases) await query(source, 'postgres', createDatabase(database));
  const queue = [...databases].sort((a, b) => rowsOf(b) - rowsOf(a));
  const fill = async () => {
    for (let database = queue.shift(); database; database = queue.shift()) {
      await fillDatabase(source, database);
      onCreated(database);
    }
  };
  await Promise.all([fill(), fill()]);
}

function createRole([name, { password, attributes }]: [
  string,
  { password: string | undefined; attributes: string },
]): string {
  const secret = password === undefined ? '' : `password ${pg.escapeLiteral(password)}`;
  return `create role ${pg.escapeIdentifier(name)} ${attributes} ${secret};`;
}

function createDatabase(database: WorkloadDatabase): string {
  const name = pg.escapeIdentifier(database.name);
  return `create database ${name} with template template0 owner ${pg.escapeIdentifier(database.owner)} ${database.options ?? ''}`;
}

async function fillDatabase(source: ClusterInfo, database: WorkloadDatabase): Promise<void> {
  await withSession(source, database.name, async (session) => {
    for (const extension of database.extensions ?? []) await session.query(extension);
    // As it was for everybody before 15, and still is wherever a cluster was upgraded from there.
    await session.query('grant create on schema public to public');
    await session.query(`set role ${pg.escapeIdentifier(database.owner)}`);
    await session.query(database.statements);
    await session.query('reset role');
    await session.query((database.settings ?? '').replaceAll(':db', pg.escapeIdentifier(database.name)));
    await session.query('analyze');
  });
}

function rowsOf(database: WorkloadDatabase): number {
  return database.written.reduce((rows, table) => rows + table.seeds, 0);
}
