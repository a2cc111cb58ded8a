import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { runFolder } from '../helpers/run-folder.ts';
import { clusterUrl, sharedCluster, startCluster, type ClusterInfo, type Major } from '../helpers/servers.ts';

async function ask(connectionString: string, query: string): Promise<unknown> {
  const client = new Client({ connectionString });
  // A server that is killed under a connection must not end the test process.
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query({ text: query, rowMode: 'array' })).rows[0]?.[0];
  } finally {
    await client.end();
  }
}

function socketUrl(cluster: ClusterInfo, password: string): string {
  const [folder, word] = [cluster.socketFolder, password].map(encodeURIComponent);
  return `postgresql://postgres:${word}@${folder}:${cluster.port}/postgres`;
}

describe('startCluster', () => {
  test.each<Major>([10, 18])('major %i starts, answers with its password only, and leaves nothing', async (major) => {
    const cluster = await startCluster({
      major,
      settings: { work_mem: '5MB', max_connections: 130 },
    });
    expect(await ask(clusterUrl(cluster), 'select version()')).toContain(`PostgreSQL ${cluster.version}`);
    expect(await ask(clusterUrl(cluster), 'show work_mem')).toBe('5MB');
    expect(await ask(socketUrl(cluster, cluster.password), 'select 1')).toBe(1);
    const wrong = { ...cluster, password: 'wrong' };
    await expect(ask(clusterUrl(wrong), 'select 1')).rejects.toThrow(/password authentication failed/);
    await expect(ask(socketUrl(cluster, 'wrong'), 'select 1')).rejects.toThrow(/password authentication failed/);

    const { pid, port, socketFolder } = cluster;
    await cluster.stop();
    expect(existsSync(socketFolder)).toBe(false);
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    expect(readdirSync(join(runFolder(), 'pids')).some((name) => name.startsWith(`${pid}-`))).toBe(false);
    await expect(ask(clusterUrl({ ...cluster, port }), 'select 1')).rejects.toThrow(/ECONNREFUSED/);
  });

  test('a restart and a crash keep port and data', async () => {
    await using cluster = await startCluster({ major: 15 });
    const first = cluster.pid;
    await ask(clusterUrl(cluster), 'create table kept as select 42 as answer');
    cluster.configure({ work_mem: '6MB' });
    await cluster.restart();
    expect(cluster.pid).not.toBe(first);
    expect(await ask(clusterUrl(cluster), 'show work_mem')).toBe('6MB');
    await cluster.kill();
    await expect(ask(clusterUrl(cluster), 'select 1')).rejects.toThrow(/ECONNREFUSED/);
    await cluster.start();
    expect(await ask(clusterUrl(cluster), 'select answer from kept')).toBe(42);
  });

  test('two clusters of one major are two clusters', async () => {
    await using one = await startCluster({ major: 17 });
    await using other = await startCluster({ major: 17 });
    const identifier = 'select system_identifier::text from pg_control_system()';
    expect(await ask(clusterUrl(one), identifier)).not.toBe(await ask(clusterUrl(other), identifier));
  });

  test('pglogical can be loaded where it is there', async () => {
    await using cluster = await startCluster({ major: 13, pglogical: true });
    await ask(clusterUrl(cluster), 'create extension pglogical');
    expect(await ask(clusterUrl(cluster), 'select pglogical.pglogical_version()')).toMatch(/^2\./);
    await expect(startCluster({ major: 10, pglogical: true })).rejects.toThrow(/no pglogical/);
  });

  test('a setting that the server does not know is reported with the end of its log', async () => {
    const start = startCluster({ major: 15, settings: { no_such_setting: 1 } });
    await expect(start).rejects.toThrow(
      /ended while starting[^]*unrecognized configuration parameter "no_such_setting"/,
    );
  });
});

test('sharedCluster is one cluster, whoever asks', async () => {
  const [one, two] = await Promise.all([sharedCluster(15), sharedCluster(15)]);
  expect(two).toEqual(one);
  expect(await ask(clusterUrl(one), 'show wal_level')).toBe('logical');
});
