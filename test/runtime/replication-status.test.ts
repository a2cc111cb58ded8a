import { describe, expect, test } from 'vitest';
import { Cluster } from '../../src/postgres/cluster.ts';
import { id, lit } from '../../src/postgres/sql.ts';
import { subscriptionName } from '../../src/replication/names.ts';
import { replicationStatus } from '../../src/runtime/replication-status.ts';
import { TestPair } from '../helpers/pair.ts';
import { eventually } from '../helpers/wait.ts';

const inConninfo = (value: string) => `'${value.replaceAll(/['\\]/g, '\\$&')}'`;
const TABLES = 'create table one (id int primary key); create table two (id int primary key)';

describe.each([
  [10, 18],
  [18, 13],
] as const)('replicationStatus from %i to %i', (from, to) => {
  test('follows a database from its slot to its end', async () => {
    await using pair = await TestPair.open({ source: from, target: to });
    const name = await pair.database('My "odd" DB', TABLES, ['source', 'target']);
    const subscription = id(subscriptionName(name)).text;
    const slot = lit(subscriptionName(name)).text;
    const status = async (inCopy: string[] = []) => {
      const { databases, unreachable } = await replicationStatus(pair.clusters, new AbortController().signal, inCopy);
      expect(unreachable).toEqual([]);
      return databases.find(({ database }) => database === name);
    };
    expect(await status()).toBeUndefined();

    await pair.query('source', name, 'insert into one values (1), (2); create publication pgconvoy for table one, two');
    await pair.query('source', name, `select pg_create_logical_replication_slot(${slot}, 'pgoutput')`);
    expect(await status()).toMatchObject({ state: 'missing', slot: { active: false } });
    // Another one's slot, that only looks like ours.
    await pair.query(
      'source',
      name,
      `select pg_create_logical_replication_slot('pgconvoy_look_${pair.suffix}', 'pgoutput')`,
    );

    const { host, port, user, password } = pair.source;
    const conninfo = `host=${host} port=${port} user=${user} password=${inConninfo(password)} dbname=${inConninfo(name)}`;
    await pair.query(
      'target',
      name,
      `create subscription ${subscription} connection ${lit(conninfo).text} publication pgconvoy
         with (create_slot = false, enabled = false, connect = false, slot_name = ${slot})`,
    );
    expect(await status()).toMatchObject({ state: 'disabled' });

    await pair.query('target', name, `alter subscription ${subscription} enable`);
    await pair.query('target', name, `alter subscription ${subscription} refresh publication`);
    await eventually(
      async () =>
        expect(await status([name])).toMatchObject({ state: 'streaming', tables: { streaming: 2, waiting: 0 } }),
      {
        timeoutMs: 40_000,
      },
    );
    const streaming = await status();
    expect(streaming).toMatchObject({ state: 'streaming', slot: { active: true } });
    expect(streaming?.tables).toBeUndefined();
    expect(streaming?.lagBytes).toBeLessThan(1e9);
    expect(streaming?.slot?.walStatus).toBe(from >= 13 ? 'reserved' : undefined);

    // A row that is already there makes the apply worker fail again and again.
    await pair.query('target', name, 'insert into two values (7)');
    await pair.query('source', name, 'insert into two values (7)');
    await eventually(
      async () =>
        expect(await status()).toMatchObject({ state: 'down', reason: expect.stringMatching(/log/) as unknown }),
      {
        timeoutMs: 20_000,
      },
    );

    await pair.query('target', name, `alter subscription ${subscription} disable`);
    await eventually(() => pair.query('source', name, `select pg_drop_replication_slot(${slot})`));
    await pair.query('target', name, `alter subscription ${subscription} enable`);
    expect(await status()).toMatchObject({
      state: 'down',
      reason: expect.stringMatching(/slot on the source is gone/) as unknown,
    });
  });
});

test('a side that is away is named, and the other one still tells what it knows', async () => {
  await using pair = await TestPair.open();
  const name = await pair.database('alone');
  await pair.query(
    'source',
    name,
    `select pg_create_logical_replication_slot(${lit(subscriptionName(name)).text}, 'pgoutput')`,
  );
  const away = new Cluster('target', { ...pair.clusters.target.address, port: 1 }, 'postgres');
  const status = await replicationStatus({ source: pair.clusters.source, target: away }, new AbortController().signal);
  expect(status.unreachable).toMatchObject([
    { side: 'target', message: expect.stringContaining('ECONNREFUSED') as unknown },
  ]);
  expect(status.databases.find(({ database }) => database === name)).toMatchObject({
    state: 'down',
    reason: 'the target cannot be asked, and does not read the slot',
  });
});
