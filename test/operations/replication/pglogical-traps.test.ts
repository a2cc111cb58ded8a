/** What goes wrong with pglogical, one trap after the other; each is named, mended, or never stepped into. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';
import type { Finding } from '../../../src/engine/finding.ts';
import type { OperationContext } from '../../../src/engine/operation.ts';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { checkDatabase } from '../../../src/operations/checks/check-database.ts';
import { createDatabase } from '../../../src/operations/databases/create-database.ts';
import { awaitCatchUp } from '../../../src/operations/replication/await-catch-up.ts';
import { copyTables } from '../../../src/operations/replication/copy-tables.ts';
import { createPublication } from '../../../src/operations/replication/create-publication.ts';
import { createSlot } from '../../../src/operations/replication/create-slot.ts';
import { createSubscription } from '../../../src/operations/replication/create-subscription.ts';
import { pairOf } from '../../../src/operations/replication/pair.ts';
import { grantReplicationRole } from '../../../src/operations/roles/grant-replication-role.ts';
import type { Side } from '../../../src/postgres/cluster.ts';
import { conninfo } from '../../../src/postgres/conninfo.ts';
import { id, lit } from '../../../src/postgres/sql.ts';
import { engineFor, takingBack } from '../../../src/replication/engines.ts';
import { onServer, TestPair } from '../../helpers/pair.ts';
import { startCluster } from '../../helpers/servers.ts';
import { schemaOnBothSides, walkTo } from '../../helpers/streaming.ts';
import { eventually } from '../../helpers/wait.ts';
import { pictureDatabase } from '../../helpers/workload/catalog.ts';

const brief = (found: readonly Finding[]) => found.map(({ code, severity, object }) => `${severity} ${code} ${object}`);

describe('13 to 18', () => {
  let pair: TestPair;
  beforeAll(async () => {
    pair = await TestPair.open({ engine: 'pglogical' });
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  test('what it cannot carry is found, and never reaches the target', async () => {
    const database = await pair.database(
      'My "odd" DB',
      `create table "Order Items" (id int primary key, net numeric, "gross, 100%" numeric generated always as (net * 2) stored);
       create table place (code text primary key deferrable);
       create table fish (name text);
       create table eater (id int primary key, eats int references "Order Items");`,
    );
    const { findings } = await runOperation(checkDatabase, pair.context(database));
    expect(brief(findings).toSorted()).toEqual([
      'block deferrable-key public.place',
      'block generated-column public.Order Items',
      'block no-replica-identity public.fish',
      'block no-replica-identity public.place',
      'warning truncate-with-foreign-keys undefined',
    ]);
    expect(findings.find(({ code }) => code === 'generated-column')?.remedy).toContain('Set engine: native');
    await walkTo(pair, database, 'grant-replication-role');
    // Never a set that carries INSERT alone: what cannot be identified is not published at all.
    await expect(runOperation(createPublication, pair.context(database))).rejects.toThrow(/no replica identity/);
    // Nor what would crash the target, whatever was accepted.
    await pair.query('source', database, `drop table fish, place; update "Order Items" set net = 1`);
    await expect(runOperation(createPublication, pair.context(database))).rejects.toThrow(
      /cannot carry "public"."Order Items", which has generated columns \("gross, 100%"\)/,
    );
    expect(await pair.query('target', 'postgres', 'select 1 as alive')).toEqual([{ alive: 1 }]);
  });

  test('made anew within seconds, by the sessions that knew the one before', async () => {
    const database = await pair.database('anew', 'create table ours (id int primary key)');
    await walkTo(pair, database, 'grant-replication-role');
    // As in a worker: a job gives its sessions back, and the next one takes them up.
    const asJob = async <T>(body: (context: OperationContext<any>) => Promise<T>): Promise<T> => {
      const context = pair.context(database);
      try {
        return await body(context);
      } finally {
        await Promise.all([context.sourceCluster.close(), context.targetCluster.close()]);
      }
    };
    await asJob((context) => runOperation(createPublication, context));
    expect(await asJob((context) => createPublication.undo!(context))).toBe(true);
    expect(await asJob((context) => runOperation(createPublication, context))).toMatchObject({ changed: true });
  });

  test("somebody else's node and set stay as they are, through setup and uninstall", async () => {
    const database = await pair.database(
      'shared',
      `create table ours (id int primary key);
       create table shared (id int primary key);
       insert into ours select generate_series(1, 10);
       create extension pglogical;
       select pglogical.create_node('theirs', 'host=/nowhere');
       select pglogical.create_replication_set('theirs too');
       select pglogical.replication_set_add_table('theirs too', 'shared');`,
    );
    await onServer(pair.target, 'postgres', `create database ${id(database).text} template template0`);
    const { host, port, user, password } = pair.target;
    const itself = conninfo({ host, port, user, password, dbname: database });
    await pair.query(
      'target',
      database,
      `create table ours (id int primary key);
       create table shared (id int primary key);
       create extension pglogical;
       select pglogical.create_node('theirs on the target', ${lit(itself).text})`,
    );
    const rows = (side: Side) =>
      pair.query(
        side,
        database,
        `select (select json_agg(n order by node_name) from pglogical.node n) as nodes,
                (select json_agg(s order by set_name) from pglogical.replication_set s) as sets,
                (select json_agg(t order by set_reloid) from pglogical.replication_set_table t) as tables,
                (select json_agg(tgname order by tgname) from pg_trigger where tgname like 'queue\\_truncate%') as triggers`,
      );
    const before = [await rows('source'), await rows('target')];
    const picture = await pictureDatabase(pair.source, database);
    const { findings } = await runOperation(checkDatabase, pair.context(database));
    expect(brief(findings)).toContain('warning pglogical-node theirs');

    await walkTo(pair, database, 'copy-tables');
    await eventually(async () => {
      expect(await pair.query('target', database, 'select count(*)::int from ours')).toEqual([{ count: 10 }]);
    });
    for (const operation of [createSubscription, createSlot, createPublication, grantReplicationRole]) {
      expect([operation.name, await operation.undo!(pair.context(database))]).toEqual([operation.name, true]);
    }
    expect([await rows('source'), await rows('target')]).toEqual(before);
    expect(await pictureDatabase(pair.source, database)).toEqual(picture);
  });

  test('what this engine has set up is taken back also where the configuration names the other one by now', async () => {
    const database = await schemaOnBothSides(pair, 'changed mind', 'create table t (id int primary key)');
    await walkTo(pair, database, 'copy-tables');
    const back = pairOf(pair.context(database));
    const native = takingBack(engineFor('native', 13));
    expect(await native.dropSubscription(back)).toBe(true);
    expect(await native.dropSlot(back)).toBe(true);
    expect(await native.unpublish(back)).toBe(true);
    for (const side of ['source', 'target'] as const) {
      const left = await pair.query(side, database, `select 1 from pg_namespace where nspname = 'pglogical'`);
      expect([side, left]).toEqual([side, []]);
    }
    expect(await native.unpublish(back)).toBe(false);
  });

  test('a worker that nobody has told to start is woken', async () => {
    const database = await schemaOnBothSides(
      pair,
      'asleep',
      'create table t (id int primary key)',
      'insert into t values (1)',
    );
    await walkTo(pair, database, 'copy-tables');
    await pair.query(
      'target',
      'postgres',
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = ${lit(database).text} and backend_type like 'pglogical %'`,
    );
    await pair.query('source', database, 'insert into t values (2)');
    await runOperation(awaitCatchUp, pair.context(database, { input: { bytes: 0 } }));
    await eventually(async () => {
      expect(await pair.query('target', database, 'select count(*)::int from t')).toEqual([{ count: 2 }]);
    });
  });

  test('a statement that would make the target crash is not sent', async () => {
    const database = await schemaOnBothSides(pair, 'no crash', 'create table t (id int primary key)');
    await walkTo(pair, database, 'copy-tables');
    const { source } = pair.context(database);
    const statement = 'alter table public.t add column twice int generated always as (id * 2) stored';
    const sending = source.transaction(() => pair.engine.replicateDdl!(source, [statement], 'public'));
    await expect(sending).rejects.toThrow(/would crash the whole target server/);
    await pair.query('source', database, 'insert into t values (1)');
    await runOperation(awaitCatchUp, pair.context(database, { input: { bytes: 0 } }));
    await eventually(async () => expect(await pair.query('target', database, 'select * from t')).toEqual([{ id: 1 }]));
  });

  test('a change that cannot be applied is said long before the deadline', async () => {
    const database = await schemaOnBothSides(pair, 'renamed', 'create table t (id int primary key)');
    await walkTo(pair, database, 'copy-tables');
    await pair.query('target', database, 'alter table t rename to other');
    await pair.query('source', database, 'insert into t values (1)');
    const waiting = runOperation(awaitCatchUp, pair.context(database, { input: { bytes: 0 } }));
    await expect(waiting).rejects.toThrow(/has failed 3 times in a row to apply a change/);
    await pair.query('target', database, 'alter table other rename to t');
    await runOperation(awaitCatchUp, pair.context(database, { input: { bytes: 0 } }));
    expect(await pair.query('target', database, 'select * from t')).toEqual([{ id: 1 }]);
  });

  test('a copy that was broken off begins again', async () => {
    const database = await schemaOnBothSides(
      pair,
      'broken off',
      'create table t (id int primary key, filler text)',
      `insert into t select n, repeat('x', 500) from generate_series(1, 200000) n`,
    );
    await walkTo(pair, database, 'create-subscription');
    const copying = runOperation(copyTables, pair.context(database));
    await eventually(
      async () => {
        const rows = await pair.query(
          'target',
          'postgres',
          `select pg_terminate_backend(pid) as ended from pg_stat_activity where datname = ${lit(database).text} and application_name like '%_copy'`,
        );
        expect(rows).toEqual([{ ended: true }]);
      },
      { intervalMs: 5 },
    );
    expect((await copying).output).toEqual({ tables: 1 });
    expect(await pair.query('target', database, 'select count(*)::int from t')).toEqual([{ count: 200_000 }]);
  });

  test('a copy that fails names its cause, and goes on when that is mended', async () => {
    const database = await schemaOnBothSides(
      pair,
      'altered',
      'create table t (id int primary key)',
      'insert into t values (1)',
    );
    await walkTo(pair, database, 'create-subscription');
    await pair.query('source', database, `alter table t add column later text default 'x'`);
    await expect(runOperation(copyTables, pair.context(database))).rejects.toThrow(
      /lacks column "later" of the source/,
    );
    await pair.query('target', database, 'alter table t add column later text');
    await runOperation(copyTables, pair.context(database));
    expect(await pair.query('target', database, 'select * from t')).toEqual([{ id: 1, later: 'x' }]);
  });

  test('a table that is published later is copied before it streams', async () => {
    const database = await schemaOnBothSides(pair, 'later', 'create table t (id int primary key)');
    await walkTo(pair, database, 'copy-tables');
    for (const side of ['source', 'target'] as const) {
      await pair.query(side, database, 'create table "later one" (id int primary key)');
    }
    await pair.query('source', database, 'insert into "later one" select generate_series(1, 100)');
    await walkTo(pair, database, 'create-publication');
    await pair.query('source', database, 'insert into "later one" values (101)');
    await runOperation(copyTables, pair.context(database));
    await eventually(async () => {
      expect(await pair.query('target', database, 'select count(*)::int from "later one"')).toEqual([{ count: 101 }]);
    });
    // Its own slot, which pglogical makes for it, is gone again.
    const slots = await pair.query(
      'source',
      database,
      'select slot_name from pg_replication_slots where database = current_database()',
    );
    expect(slots).toHaveLength(1);
  });
});

test('15 to 17: an output plugin that is not allowed is said with its remedy; a database is never dropped where that hangs', async () => {
  await using source = await startCluster({
    major: 15,
    pglogical: true,
    settings: { output_plugin_libraries: 'pgoutput, test_decoding' },
  });
  await using target = await startCluster({ major: 17, pglogical: true });
  await using pair = await TestPair.open({ engine: 'pglogical', source, target });
  const database = await pair.database('plain', 'create table t (id int primary key); insert into t values (1)');
  await runOperation(createDatabase, pair.context(database));
  await pair.query('target', database, 'create table t (id int primary key)');
  await walkTo(pair, database, 'create-publication');
  const refused = runOperation(createSlot, pair.context(database));
  await expect(refused).rejects.toThrow(/pglogical_output/);
  await expect(refused).rejects.toMatchObject({
    hint: expect.stringContaining(
      "ALTER SYSTEM SET output_plugin_libraries = 'pgoutput', 'test_decoding', 'pglogical_output'",
    ),
  });
  await pair.query(
    'source',
    'postgres',
    'alter system set output_plugin_libraries = pgoutput, test_decoding, pglogical_output',
  );
  await pair.query('source', 'postgres', 'select pg_reload_conf()');
  await walkTo(pair, database, 'copy-tables');
  expect(await pair.query('target', database, 'select * from t')).toEqual([{ id: 1 }]);

  // Its workers tell the log why they cannot connect, but not with which password.
  await source.shutdown();
  // Left alone, its supervisor may take its time to start the next one.
  await pair.engine.wake!(pairOf(pair.context(database)));
  await eventually(() => expect(target.log()).toContain('could not connect to the postgresql server'), {
    timeoutMs: 20_000,
  });
  const { password } = z
    .object({ password: z.string() })
    .parse((await pair.context(undefined).targetLedger.entries('replication-secret'))[0]?.before);
  expect(target.log()).not.toContain(password);
  await source.start();

  await createSubscription.undo!(pair.context(database));
  const drop = createDatabase.undo!(pair.context(database));
  await expect(drop).rejects.toThrow(/waits for ever/);
  expect(
    await pair.query(
      'target',
      'postgres',
      `select datconnlimit from pg_database where datname = ${lit(database).text}`,
    ),
  ).toEqual([{ datconnlimit: 0 }]);
});
