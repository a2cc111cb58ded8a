import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Cluster } from '../../src/postgres/cluster.ts';
import { selectDatabases } from '../../src/runtime/databases.ts';
import { loadedFor } from '../helpers/loaded.ts';
import { onServer } from '../helpers/pair.ts';
import { startCluster } from '../helpers/servers.ts';
import type { Cluster as TestCluster } from '../helpers/servers.ts';

describe.each([10, 18] as const)('selectDatabases on PostgreSQL %i', (major) => {
  let server: TestCluster;
  let cluster: Cluster;
  const select = async (include: string[], exclude: string[] = []) => {
    const bound = cluster.bind({ applicationName: 'pgconvoy/test', signal: new AbortController().signal });
    try {
      return await selectDatabases(bound, { include, exclude });
    } finally {
      await bound.close();
    }
  };
  const names = async (include: string[], exclude: string[] = []) =>
    (await select(include, exclude)).selected.map(({ name }) => name);

  beforeAll(async () => {
    server = await startCluster({ major });
    for (const name of ['app', 'app2', 'My "odd" DB', 'a.b', 'axb', 'closed', 'broken', 'grüße', 'pgconvoy_canary']) {
      await onServer(server, 'postgres', `create database "${name.replaceAll('"', '""')}"`);
    }
    await onServer(server, 'postgres', 'alter database closed with allow_connections false');
    await onServer(server, 'postgres', `update pg_database set datconnlimit = -2 where datname = 'broken'`);
    cluster = new Cluster('source', loadedFor(server, server).addresses.source, 'postgres');
  });
  afterAll(async () => {
    await cluster.close();
    await server.stop();
  });

  test('everything that accepts connections, and the rest with its reason', async () => {
    const { selected, reported } = await select(['*']);
    expect(selected.map(({ name }) => name).sort()).toEqual(['My "odd" DB', 'a.b', 'app', 'app2', 'axb', 'grüße']);
    expect(selected.every(({ oid }) => oid > 0)).toBe(true);
    const reasons = Object.fromEntries(reported.map(({ name, reason }) => [name, reason]));
    expect(Object.keys(reasons).sort()).toEqual([
      'broken',
      'closed',
      'pgconvoy_canary',
      'postgres',
      'template0',
      'template1',
    ]);
    expect(reasons['closed']).toMatch(/refuses connections/);
    expect(reasons['broken']).toMatch(/DROP DATABASE was interrupted/);
    expect(reasons['pgconvoy_canary']).toMatch(/scratch database/);
    expect(reasons['postgres']).toBe('holds no objects of users');
    expect(reasons['template1']).toBe('holds no objects of users');
  });

  test('patterns', async () => {
    expect(await names(['app*'])).toEqual(['app', 'app2']);
    expect(await names(['app?'])).toEqual(['app2']);
    expect(await names(['a.b'])).toEqual(['a.b']);
    expect(await names(['a?b'])).toEqual(['a.b', 'axb']);
    expect(await names(['gr??e', 'My "odd" DB'])).toEqual(['My "odd" DB', 'grüße']);
    expect(await names(['app*', 'axb'], ['*2'])).toEqual(['app', 'axb']);
    const { reported } = await select(['app*'], ['*2']);
    expect(reported).toContainEqual({ name: 'app2', reason: 'excluded by "*2"' });
    expect(reported).toContainEqual({ name: 'axb', reason: 'not among the databases to include' });
  });

  test('a name that is not there is an error that names those that are', async () => {
    const error = await select(['app', 'shop', 'x*']).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      name: 'ConfigError',
      exitCode: 2,
      message: 'the source has no database "shop", "x*"',
    });
    expect((error as { hint: string }).hint).toContain('"My "odd" DB"');
  });

  test('postgres and template1 take part once a user has something there, but not for our ledger', async () => {
    await onServer(server, 'postgres', 'create schema pgconvoy; create table pgconvoy.ledger (kind text primary key)');
    expect(await names(['*'])).not.toContain('postgres');
    await onServer(server, 'postgres', 'create function public.mine() returns int language sql as $$ select 1 $$');
    await onServer(server, 'template1', 'create extension pg_trgm');
    const all = await names(['*']);
    expect(all).toContain('postgres');
    expect(all).toContain('template1');
  });
});
