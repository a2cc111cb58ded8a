import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { copySnapshot } from '../../../src/operations/replication/copy-snapshot.ts';
import { copyTables } from '../../../src/operations/replication/copy-tables.ts';
import { createSlot } from '../../../src/operations/replication/create-slot.ts';
import { createSubscription } from '../../../src/operations/replication/create-subscription.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';
import { schemaOnBothSides, walkTo } from '../../helpers/streaming.ts';
import { eventually } from '../../helpers/wait.ts';

const SCHEMA = `
  create table "Order Items" ("select" int primary key, note text, price float8, at timestamptz, span interval);
  create table keyless (id int, bytes bytea); alter table keyless replica identity full;
  create table child (id int primary key, parent int references "Order Items");
  create table bare (); alter table bare replica identity full;
  create table parted (id int, primary key (id)) partition by list (id);
  create table "parted 1" partition of parted for values in (1, 2);`;
const ROWS = `
  insert into "Order Items" select n, E'tab\\there, back\\\\slash, ü' || n, 1 / n::float8, now(), n * interval '1 hour' from generate_series(1, 5000) n;
  insert into keyless values (1, '\\x00ff'), (1, null); insert into child values (1, 1); insert into parted values (1);
  insert into bare default values; insert into bare default values;`;
const SUMS = `
  select (select md5(string_agg(("select", note, float8send(price), at, span)::text, ',' order by "select")) from "Order Items") as items,
         (select md5(string_agg(t::text, ',' order by t::text)) from keyless t) as keyless,
         (select count(*)::int from child) as child, (select count(*)::int from parted) as parted,
         (select count(*)::int from bare) as bare`;

/** The steps after the copy, until rows stream. */
async function goOn(pair: TestPair, database: string): Promise<void> {
  for (const operation of [createSlot, createSubscription, copyTables])
    await runOperation(operation, pair.context(database, { input: operation.input.parse({}) }));
}

const sums = (pair: TestPair, side: 'source' | 'target', database: string) => pair.query(side, database, SUMS);

describe.each([
  { source: 10, target: 18 },
  { source: 13, target: 17 },
] as const)('from $source to $target', ({ source, target }) => {
  test('every value arrives as it is, and what is written afterwards streams, neither lost nor doubled', async () => {
    await using pair = await TestPair.open({ source, target });
    // Before 11 a partitioned table cannot have a key.
    const schema = source === 10 ? SCHEMA.replace(', primary key (id)) partition', ') partition') : SCHEMA;
    const parted = 'alter table "parted 1" replica identity full;';
    const database = await schemaOnBothSides(pair, 'My "odd" DB', schema + parted, ROWS);
    await walkTo(pair, database, 'create-publication');
    const { output } = await proveContract(pair, copySnapshot, database);
    expect(output).toEqual({ by: 'snapshot' });
    await pair.query('source', database, `update keyless set id = 2; insert into parted values (2)`);
    await goOn(pair, database);
    await eventually(async () => {
      expect(await sums(pair, 'target', database)).toEqual(await sums(pair, 'source', database));
    });
  });
});

describe('from 15 to 18', () => {
  let pair: TestPair;
  beforeAll(async () => {
    pair = await TestPair.open({ settings: { deadlines: { slot: '1s', lockTimeout: '300ms' } } });
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  test('generated columns are left to the target, identity columns keep their values', async () => {
    const database = await schemaOnBothSides(
      pair,
      'generated',
      `create table g (id int generated always as identity primary key, "a b" int, c int generated always as ("a b" * 2) stored)`,
      'insert into g ("a b") values (1), (2); delete from g where id = 1',
    );
    await walkTo(pair, database, 'create-publication');
    await runOperation(copySnapshot, pair.context(database));
    expect(await pair.query('target', database, 'select * from g')).toEqual([{ id: 2, 'a b': 2, c: 4 }]);
  });

  test('bytes of a database without an encoding pass unchanged', async () => {
    const database = pair.name('bytes');
    pair.expectDatabase(database);
    for (const side of ['source', 'target'] as const) {
      const options = "template template0 encoding 'SQL_ASCII' locale 'C'";
      await pair.query(side, 'postgres', `create database "${database}" ${options}`);
      await pair.query(side, database, 'create table t (id int primary key, note text)');
    }
    await pair.context(database).targetLedger.record({ kind: 'database', database }, null);
    await pair.query('source', database, String.raw`insert into t values (1, convert_from('\x636166e9', 'SQL_ASCII'))`);
    await walkTo(pair, database, 'create-publication');
    await runOperation(copySnapshot, pair.context(database));
    expect(
      await pair.query('target', database, `select encode(convert_to(note, 'SQL_ASCII'), 'hex') as hex from t`),
    ).toEqual([{ hex: '636166e9' }]);
  });

  test('names that are not ASCII, in a database whose encoding is not UTF8', async () => {
    const database = pair.name('latin');
    pair.expectDatabase(database);
    for (const side of ['source', 'target'] as const) {
      await pair.query(
        side,
        'postgres',
        `create database "${database}" template template0 encoding 'LATIN1' locale 'C'`,
      );
      await pair.query(side, database, 'create table "Tüte" ("Größe" int primary key, note text)');
    }
    await pair.context(database).targetLedger.record({ kind: 'database', database }, null);
    await pair.query('source', database, `insert into "Tüte" values (1, 'é')`);
    await walkTo(pair, database, 'create-publication');
    await runOperation(copySnapshot, pair.context(database));
    expect(await pair.query('target', database, 'select * from "Tüte"')).toEqual([{ Größe: 1, note: 'é' }]);
  });

  test('killed in the middle, it converges: no row doubled or lost, and no slot too many', async () => {
    const database = await schemaOnBothSides(
      pair,
      'killed',
      'create table big (id int, note text); alter table big replica identity full; create table small (id int primary key);',
      "insert into big select n, repeat('x', 200) from generate_series(1, 100000) n; insert into small values (1)",
    );
    await walkTo(pair, database, 'create-publication');
    await proveKilledAndRunAgain(pair, copySnapshot, database, [1, 20, 40, 60, 90, 130, 180, 250]);
    await pair.query('source', database, 'insert into big values (0)');
    await goOn(pair, database);
    await eventually(async () => {
      expect(
        await pair.query('target', database, 'select count(*)::int, count(distinct id)::int as ids from big'),
      ).toEqual([{ count: 100_001, ids: 100_001 }]);
    });
    expect(
      await pair.query(
        'source',
        'postgres',
        `select slot_name from pg_replication_slots where database = '${database}'`,
      ),
    ).toHaveLength(1);
  });

  test('when the slot is gone, the whole database is copied again into emptied tables', async () => {
    const database = await schemaOnBothSides(
      pair,
      'again',
      `create table parent (id int primary key); create table keyless (id int); alter table keyless replica identity full;
       create table child (id int primary key, parent int references parent)`,
      'insert into parent values (1); insert into child values (1, 1); insert into keyless values (1), (2)',
    );
    await walkTo(pair, database, 'create-publication');
    await runOperation(copySnapshot, pair.context(database));
    await goOn(pair, database);
    await copyTables.undo!(pair.context(database));
    await createSlot.undo!(pair.context(database));
    await pair.query('source', database, 'insert into keyless values (3)');
    expect((await runOperation(copySnapshot, pair.context(database))).output).toEqual({ by: 'snapshot' });
    await goOn(pair, database);
    const [row] = await pair.query(
      'target',
      database,
      'select (select count(*)::int from keyless) as keyless, (select count(*)::int from child) as child',
    );
    expect(row).toEqual({ keyless: 3, child: 1 });
  });

  test('rows in a database that pgconvoy did not make are never removed', async () => {
    const database = await pair.database('foreign', 'create table t (id int primary key)', ['source', 'target']);
    await pair.query('target', database, 'insert into t values (42)');
    await walkTo(pair, database, 'create-publication');
    await expect(runOperation(copySnapshot, pair.context(database))).rejects.toMatchObject({
      message: expect.stringContaining('did not make this database'),
    });
    expect(await pair.query('target', database, 'select id from t')).toEqual([{ id: 42 }]);
  });

  test('a lock that is held, and a write transaction that does not end: both are named, and the retry goes through', async () => {
    const database = await schemaOnBothSides(
      pair,
      'locked',
      'create table t (id int primary key)',
      'insert into t values (1)',
    );
    await walkTo(pair, database, 'create-publication');
    const { source, target } = pair.clusters;
    const [writer, holder] = [source, target].map(
      ({ address }) => new pg.Client({ ...address, database, application_name: 'someone' }),
    );
    await Promise.all([writer!.connect(), holder!.connect()]);
    try {
      await holder!.query('begin; lock table t in share mode');
      await expect(runOperation(copySnapshot, pair.context(database))).rejects.toMatchObject({
        message: expect.stringMatching(
          /target, database .* pid \d+ \(user "postgres", someone.*holds ShareLock on public\.t/,
        ),
        disposition: 'wait',
      });
      await writer!.query('begin; insert into t values (2)');
      await expect(runOperation(copySnapshot, pair.context(database))).rejects.toMatchObject({
        name: 'DeadlineExceeded',
        message: expect.stringMatching(/the replication slot could not be created within 1000 ms.*pid \d+/),
      });
      await writer!.query('commit');
    } finally {
      await Promise.all([writer!.end(), holder!.end()]);
    }
    expect((await runOperation(copySnapshot, pair.context(database))).output).toEqual({ by: 'snapshot' });
    expect(await pair.query('target', database, 'select id from t order by id')).toEqual([{ id: 1 }, { id: 2 }]);
  });

  test('a database that was never set up gets no slot', async () => {
    const database = await pair.database('bare', 'create table t (id int primary key)');
    await expect(runOperation(copySnapshot, pair.context(database))).rejects.toMatchObject({
      message: expect.stringContaining('its tables are not published'),
      hint: expect.stringContaining('pgconvoy setup'),
    });
    expect(
      await pair.query(
        'source',
        'postgres',
        `select slot_name from pg_replication_slots where database = '${database}'`,
      ),
    ).toEqual([]);
  });

  test('a database above the limit is left to its subscription', async () => {
    await using large = await TestPair.open({ settings: { replication: { snapshotCopyUpTo: '0MB' } } });
    const database = await schemaOnBothSides(large, 'large', 'create table t (id int primary key)');
    await walkTo(large, database, 'create-publication');
    const { changed, output } = await runOperation(copySnapshot, large.context(database));
    expect({ changed, output }).toEqual({ changed: false, output: { by: 'subscription' } });
  });
});
