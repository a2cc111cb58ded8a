/** Short sessions of the superuser, by pg alone: what proves pgconvoy right must not use it. */
import pg from 'pg';
import type { ClusterInfo } from '../servers.ts';

export type Row = Record<string, unknown>;

export interface Session {
  /** Rows of the (last) statement. Values are as in psql: text, for all but booleans, integers and arrays. */
  query(statements: string, values?: readonly unknown[]): Promise<Row[]>;
}

/** One session for the time of `work`. */
export async function withSession<T>(
  server: ClusterInfo,
  database: string,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({
    host: server.host,
    port: server.port,
    user: server.user,
    password: server.password,
    database,
    application_name: 'workload',
  });
  client.on('error', () => {});
  await client.connect();
  try {
    return await work({
      async query(statements, values) {
        const result: unknown = await client.query(statements, values && [...values]);
        const last = (Array.isArray(result) ? result.at(-1) : result) as pg.QueryResult<Row>;
        return last.rows;
      },
    });
  } finally {
    await client.end();
  }
}

/** One statement, or several without values. */
export function query(
  server: ClusterInfo,
  database: string,
  statements: string,
  values?: readonly unknown[],
): Promise<Row[]> {
  return withSession(server, database, (session) => session.query(statements, values));
}

/** The name as SQL wants it, each part quoted. */
export function quoted(...parts: readonly string[]): string {
  return parts.map((part) => pg.escapeIdentifier(part)).join('.');
}
