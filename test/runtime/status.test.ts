import { describe, expect, test } from 'vitest';
import { Cluster } from '../../src/postgres/cluster.ts';
import { id, lit } from '../../src/postgres/sql.ts';
import { subscriptionName } from '../../src/replication/names.ts';
import { readStatus } from '../../src/runtime/status/read-status.ts';
import { TestPair } from '../helpers/pair.ts';
import { schemaOnBothSides, walkTo } from '../helpers/streaming.ts';
import { eventually } from '../helpers/wait.ts';

const inConninfo = (value: string) => `'${value.replaceAll(/['\\]/g, '\\$&')}'`;
const TABLES = 'create table one (id int primary key); create table two (id int primary key)';

describe.each([
  [10, 18],
  [18, 13],
] as const)('readStatus from %i to %i', (from, to) => {
  test('follows a database from its slot to its end', async () => {
    await using pair = await TestPair.open({ source: from, target: to });
    const name = await pair.database('My "odd" DB', TABLES, ['source', 'target']);
    const subscription = id(subscriptionName(name)).text;
    const slot = lit(subscriptionName(name)).text;
    const status = async (inCopy: string[] = []) => {
      const { databases, unreachable } = await readStatus(pair.clusters, new AbortController().signal, inCopy);
      expect(unreachable).toEqual([]);
      // Slots and subscriptions are ours; databases of such names are not there.
      expect(databases.filter((one) => one.database.startsWith('pgconvoy'))).toEqual([]);
      return databases.find(({ database }) => database === name);
    };
    expect(await status()).toMatchObject({ state: 'not-set-up', setup: { target: { exists: true, ours: false } } });

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
        expect(await status([name])).toMatchObject({ state: 'replicating', tables: { streaming: 2, waiting: 0 } }),
      {
        timeoutMs: 40_000,
      },
    );
    // The lag is known once the apply worker has answered.
    const streaming = await eventually(async () => {
      const seen = await status();
      expect(seen).toMatchObject({ state: 'replicating', slot: { active: true } });
      expect(seen?.lagBytes).toBeLessThan(1e9);
      expect(seen?.lagSeconds).toBeLessThan(30);
      return seen;
    });
    expect(streaming?.tables).toBeUndefined();
    expect(streaming?.slot?.walStatus).toBe(from >= 13 ? 'reserved' : undefined);

    // A row that is already there makes the apply worker fail again and again.
    await pair.query('target', name, 'insert into two values (7)');
    await pair.query('source', name, 'insert into two values (7)');
    const why = to >= 18 ? /(times|once) applying changes, conflict insert_exists .*log/ : /log/;
    await eventually(
      async () =>
        expect(await status()).toMatchObject({ state: 'down', reason: expect.stringMatching(why) as unknown }),
      { timeoutMs: 20_000 },
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
  const status = await readStatus({ ...pair.clusters, target: away }, new AbortController().signal);
  expect(status.unreachable).toMatchObject([
    { side: 'target', message: expect.stringContaining('ECONNREFUSED') as unknown },
  ]);
  expect(status.databases.find(({ database }) => database === name)).toMatchObject({
    state: 'down',
    reason: 'the target cannot be asked, and does not read the slot',
  });
});

test('pglogical: from set up to switched on, off and broken', async () => {
  await using pair = await TestPair.open({ engine: 'pglogical' });
  const database = await schemaOnBothSides(pair, 'My "odd" DB', TABLES, 'insert into one values (1)');
  const status = async () => {
    const { databases, configuration } = await readStatus(pair.clusters, new AbortController().signal);
    return { ...databases.find((one) => one.database === database), engine: configuration.engine };
  };
  expect(await status()).toMatchObject({ engine: 'pglogical', state: 'set-up' });
  await walkTo(pair, database, 'create-slot');
  expect(await status()).toMatchObject({ state: 'missing', setup: { source: { slot: true } } });
  await walkTo(pair, database, 'create-subscription');
  expect(await status()).toMatchObject({ state: 'disabled', setup: { target: { subscription: true } } });
  await walkTo(pair, database, 'copy-tables');
  await eventually(async () => expect(await status()).toMatchObject({ state: 'replicating', slot: { active: true } }));

  await pair.query('target', database, 'alter table one add constraint positive check (id < 5)');
  await pair.query('source', database, 'insert into one values (7)');
  await eventually(
    async () =>
      expect(await status()).toMatchObject({
        state: 'down',
        reason: expect.stringMatching(/the target's log says why \(logging_collector is off there: .*journalctl/),
      }),
    { timeoutMs: 20_000 },
  );
});

test('setup is seen on both sides before start: the schema, the publication, the role', async () => {
  await using pair = await TestPair.open();
  const database = await schemaOnBothSides(pair, 'waits', TABLES);
  const status = async () => {
    const { databases, configuration } = await readStatus(pair.clusters, new AbortController().signal);
    return { configuration, ...databases.find((one) => one.database === database)! };
  };
  const begun = await status();
  expect(begun).toMatchObject({ state: 'set-up', configuration: { engine: 'native', role: { ready: false } } });
  expect(begun.setup).toMatchObject({
    source: { exists: true },
    target: { exists: true, ours: true, schema: 'nothing' },
  });
  await pair.context(database).targetLedger.record({ kind: 'schema', database }, { complete: false });
  expect((await status()).setup).toMatchObject({ source: { published: false }, target: { schema: 'begun' } });
  await walkTo(pair, database, 'create-publication');
  const ready = await status();
  expect(ready).toMatchObject({ state: 'set-up', configuration: { role: { ready: true } } });
  expect(ready.setup).toMatchObject({ source: { published: true, slot: false } });
  expect(ready.configuration.source.version).toMatch(/^15\./);
});
