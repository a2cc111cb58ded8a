import { beforeAll, describe, expect, test } from 'vitest';
import { Cluster } from '../../src/postgres/cluster.ts';
import type { ServerAddress } from '../../src/postgres/connection.ts';
import { closeClusters, openClusters } from '../../src/runtime/clusters.ts';
import { meetServers } from '../../src/runtime/preflight-servers.ts';
import { loadedFor } from '../helpers/loaded.ts';
import { freePort } from '../helpers/server-process.ts';
import { sharedCluster } from '../helpers/servers.ts';
import type { ClusterInfo } from '../helpers/servers.ts';

describe('meetServers', () => {
  let older: ClusterInfo;
  let newer: ClusterInfo;
  beforeAll(async () => {
    [older, newer] = await Promise.all([sharedCluster(15), sharedCluster(18)]);
  });

  async function meet(
    source: ClusterInfo,
    target: ClusterInfo,
    change: { address?: Partial<ServerAddress>; database?: string } = {},
  ) {
    const loaded = loadedFor(source, target);
    const clusters = openClusters({
      ...loaded,
      addresses: { ...loaded.addresses, target: { ...loaded.addresses.target, ...change.address } },
      config: { ...loaded.config, target: { ...loaded.config.target, database: change.database ?? 'postgres' } },
    });
    try {
      return await meetServers(clusters, new AbortController().signal);
    } finally {
      await closeClusters(clusters);
    }
  }
  const refusal = (promise: Promise<unknown>) =>
    promise.then(
      () => ({ message: 'met' }),
      (error: unknown) => error,
    );

  test('an older source and a newer target meet', async () => {
    const met = await meet(older, newer);
    expect(met.source.versionNum).toBeGreaterThanOrEqual(150_000);
    expect(met.target.versionNum).toBeGreaterThanOrEqual(180_000);
    expect(met.warnings).toEqual([]);
  });

  test('a unix socket will do', async () => {
    const met = await meet(older, newer, { address: { host: newer.socketFolder, ssl: false } });
    expect(met.target.inRecovery).toBe(false);
  });

  test.each([
    [
      'the target is older',
      () => meet(newer, older),
      2,
      /the target \(PostgreSQL 15[^]*is older than the source \(PostgreSQL 18/,
    ],
    ['both are the same cluster', () => meet(older, older), 2, /^source and target are the same cluster$/],
    [
      'a wrong password',
      () => meet(older, newer, { address: { password: 'wrong' } }),
      4,
      /^the target at 127[^]*refuses the password of user "postgres"$/,
    ],
    [
      'no password',
      () => meet(older, newer, { address: { password: undefined } }),
      4,
      /asks for a password and none was given/,
    ],
    [
      'a wrong user',
      () => meet(older, newer, { address: { user: 'nobody_here' } }),
      4,
      /refuses the password of user "nobody_here"/,
    ],
    [
      'a wrong database',
      () => meet(older, newer, { database: 'no such' }),
      2,
      /^the target at 127\.[^]*has no database "no such"$/,
    ],
    [
      'TLS that the server has not',
      () => meet(older, newer, { address: { ssl: { rejectUnauthorized: false }, sslmode: 'require' } }),
      4,
      /does not support SSL/,
    ],
    [
      'a name that is not there',
      () => meet(older, newer, { address: { host: 'nowhere.invalid' } }),
      4,
      /target[^]*nowhere\.invalid/,
    ],
  ] as const)('%s', async (_, run, exitCode, message) => {
    const error = await refusal(run());
    expect(error).toMatchObject({ exitCode, message: expect.stringMatching(message) as unknown });
    expect((error as { hint: string }).hint).not.toBe('');
    expect(JSON.stringify(error) + String(error)).not.toContain(newer.password);
  });

  test('nobody listens: both sides are named in one message', async () => {
    const port = await freePort();
    const nowhere = (info: ClusterInfo) => ({ ...info, port });
    const error = await refusal(meet(nowhere(older), nowhere(newer)));
    expect(error).toMatchObject({ exitCode: 4 });
    expect((error as Error).message.split('\n')).toEqual([
      expect.stringMatching(new RegExp(`^source[^]*ECONNREFUSED[^]*:${port}`)),
      expect.stringMatching(new RegExp(`^target[^]*ECONNREFUSED[^]*:${port}`)),
    ]);
  });

  test('prefer takes a server without TLS', async () => {
    const met = await meet(older, newer, { address: { ssl: { rejectUnauthorized: false }, sslmode: 'prefer' } });
    expect(met.warnings).toEqual([]);
  });

  test('prefer: sessions that begin at the same time each find out for themselves', async () => {
    const { source: address } = loadedFor(older, newer).addresses;
    const cluster = new Cluster(
      'source',
      { ...address, ssl: { rejectUnauthorized: false }, sslmode: 'prefer' },
      'postgres',
    );
    try {
      const clients = await Promise.all(Array.from({ length: 6 }, () => cluster.connect('postgres', 'test')));
      for (const client of clients) cluster.keep('postgres', client);
      expect(clients).toHaveLength(6);
    } finally {
      await cluster.close();
    }
  });
});
