/** Databases for queues that PostgreSQL keeps: copies of one whose tables are made, on the shared server of major 15. */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { connect } from '../../src/queue/connection.ts';
import type { QueueConfig } from '../../src/queue/store.ts';
import { sharedCluster } from './servers.ts';
import type { ClusterInfo } from './servers.ts';

export interface QueueDatabase extends AsyncDisposable {
  readonly config: QueueConfig;
  /** As somebody who looks from outside; names without schema are those of the queue. */
  query<R extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<R[]>;
}

const PREFIX = 'pgconvoy';

/** What the configuration makes of `postgres://…`. */
export const queueConfigOf = (
  { host, port, user, password }: Pick<ClusterInfo, 'host' | 'port' | 'user' | 'password'>,
  database: string,
): QueueConfig => ({
  prefix: PREFIX,
  server: {
    host,
    port,
    user,
    password,
    database,
    ssl: false,
    connectTimeoutMs: 5_000,
    shown: `postgres://${host}:${port}/${database}`,
  },
});

let template: Promise<string> | undefined;

async function asSuperuser<T>(cluster: ClusterInfo, database: string, body: (client: pg.Client) => Promise<T>) {
  const { host, port, user, password } = cluster;
  const options = `-c search_path=${PREFIX}_queue`;
  const client = new pg.Client({ host, port, user, password, database, options });
  await client.connect();
  try {
    return await body(client);
  } finally {
    await client.end();
  }
}

const created = async (cluster: ClusterInfo, from = 'template0'): Promise<string> => {
  const name = `queue_${randomBytes(6).toString('hex')}`;
  await asSuperuser(cluster, 'postgres', (client) => client.query(`create database ${name} template ${from}`));
  return name;
};

async function makeTemplate(cluster: ClusterInfo): Promise<string> {
  const name = await created(cluster);
  await (await connect(queueConfigOf(cluster, name), 'command')).close();
  return name;
}

export async function openQueueDatabase(): Promise<QueueDatabase> {
  const cluster = await sharedCluster(15);
  template ??= makeTemplate(cluster);
  const name = await created(cluster, await template);
  return {
    config: queueConfigOf(cluster, name),
    query: (text, values = []) =>
      asSuperuser(cluster, name, async (client) => (await client.query(text, [...values])).rows),
    async [Symbol.asyncDispose]() {
      await asSuperuser(cluster, 'postgres', (client) => client.query(`drop database ${name} with (force)`));
    },
  };
}
