import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ConfigInput } from '../../src/config/schema.ts';
import { onServer } from '../helpers/pair.ts';
import { Program } from '../helpers/program.ts';
import { startCluster, startRedis } from '../helpers/servers.ts';
import type { Cluster, RedisServer } from '../helpers/servers.ts';

let source: Cluster;
let target: Cluster;
let redis: RedisServer;

beforeAll(async () => {
  [source, target, redis] = await Promise.all([startCluster({ major: 15 }), startCluster({ major: 18 }), startRedis()]);
  await onServer(source, 'postgres', 'create database zoo');
  await onServer(source, 'zoo', 'create table animal (id int primary key)');
});
afterAll(() => Promise.all([source, target, redis].map((server) => server?.stop())));

/** What `setup` says, through a queue and a worker of its own. */
async function setup(prefix: string, config: ConfigInput = {}) {
  await using program = await Program.open({
    source,
    target,
    redis,
    config: { ...config, queue: { url: redis.url, prefix } },
  });
  await program.startWorker();
  return { ...(await program.run('setup')), folder: program.folder };
}

/** What setup would leave behind, had it begun. */
const traces = () =>
  Promise.all(
    [source, target].map((server) =>
      onServer(
        server,
        'postgres',
        `select rolname::text as name from pg_roles where rolname like 'pgconvoy%'
         union all select nspname::text from pg_namespace where nspname = 'pgconvoy'`,
      ),
    ),
  );

test('a folder without pg_dump: setup says where it looked and touches neither side', async () => {
  const refused = await setup('no-dump', { tools: { bin: source.dataFolder } });
  expect(refused.code).toBe(3);
  expect(refused.stdout.replaceAll(/\s+/g, '')).toContain(source.dataFolder);
  expect(refused.stdout).toContain('[client-tools]');
  expect(await traces()).toEqual([[], []]);
});

test('a target database that already holds data: setup names it and touches neither side', async () => {
  await onServer(target, 'postgres', 'create database zoo');
  await onServer(target, 'zoo', 'create table animal (id int primary key); insert into animal values (7)');
  const refused = await setup('holds-data');
  expect(refused.code).toBe(3);
  expect(refused.stdout).toMatch(/Database "zoo" exists on the target, was not made by pgconvoy and already\s+holds/);
  expect(refused.stdout).toContain('DROP DATABASE');
  expect(await onServer(target, 'zoo', 'select id from animal')).toEqual([{ id: 7 }]);
  expect(await traces()).toEqual([[], []]);
});
