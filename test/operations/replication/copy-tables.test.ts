import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Progress } from '../../../src/engine/operation.ts';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { copyTables } from '../../../src/operations/replication/copy-tables.ts';
import { createSlot } from '../../../src/operations/replication/create-slot.ts';
import { createSubscription } from '../../../src/operations/replication/create-subscription.ts';
import { openedKey } from '../../../src/operations/cutover/opened.ts';
import { subscriptionName } from '../../../src/replication/names.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';
import { schemaOnBothSides, walkTo } from '../../helpers/streaming.ts';
import { eventually } from '../../helpers/wait.ts';

const PAIRS = [
  { source: 10, target: 18 },
  { source: 13, target: 17 },
  { source: 15, target: 18 },
] as const;

const SCHEMA = `create table "Order Items" ("select" int primary key, note text);
  create table empty (id int primary key);
  create table parted (id int not null, primary key (id)) partition by list (id);`;
// Before 11 a partitioned table cannot have a key.
const SCHEMA_10 = SCHEMA.replace(', primary key (id)) partition', ') partition');
const PARTITION = `create table "parted 1" partition of parted for values in (1, 2); alter table "parted 1" replica identity full;`;
const ROWS = `insert into "Order Items" select n, repeat('x', 100) from generate_series(1, 5000) n; insert into parted values (1);`;

describe.each(PAIRS)('from $source to $target', ({ source, target }) => {
  let pair: TestPair;
  beforeAll(async () => {
    pair = await TestPair.open({ source, target });
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  test('every row is copied, then what is written streams', async () => {
    const schema = (source === 10 ? SCHEMA_10 : SCHEMA) + PARTITION;
    const database = await schemaOnBothSides(pair, 'My "odd" DB', schema, ROWS);
    await walkTo(pair, database, 'create-subscription');
    const seen: Progress[] = [];
    const { output } = await proveContract(pair, copyTables, database, {
      onProgress: (progress) => seen.push(progress),
    });
    expect(output).toEqual({ tables: 3 });
    const copied = seen.findLast(({ unit }) => unit === 'bytes');
    expect(copied?.total).toBeGreaterThan(0);
    expect(copied?.done).toBe(copied?.total);
    await pair.query(
      'source',
      database,
      `update "Order Items" set note = 'new' where "select" = 7; insert into parted values (2)`,
    );
    await eventually(async () => {
      const [row] = await pair.query(
        'target',
        database,
        `select (select count(*)::int from "Order Items") as items, (select note from "Order Items" where "select" = 7),
                (select count(*)::int from parted) as parted`,
      );
      expect(row).toEqual({ items: 5000, note: 'new', parted: 2 });
    });
  });
});

describe('from 15 to 18', () => {
  let pair: TestPair;
  beforeAll(async () => {
    pair = await TestPair.open({ settings: { deadlines: { copyStall: '2s' } } });
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  test('killed in the middle, it converges: no row doubled or lost', async () => {
    const database = await schemaOnBothSides(
      pair,
      'killed',
      'create table big (id int, note text); alter table big replica identity full; create table small (id int primary key);',
      "insert into big select n, repeat('x', 200) from generate_series(1, 50000) n; insert into small values (1)",
    );
    await walkTo(pair, database, 'create-subscription');
    await proveKilledAndRunAgain(pair, copyTables, database, [1, 20, 60, 120]);
    expect(
      await pair.query('target', database, 'select count(*)::int, count(distinct id)::int as ids from big'),
    ).toEqual([{ count: 50_000, ids: 50_000 }]);
  });

  test('after an undo of the start everything is copied anew into emptied tables', async () => {
    const database = await schemaOnBothSides(
      pair,
      'again',
      `create table parent (id int primary key); create table keyless (id int); alter table keyless replica identity full;
       create table child (id int primary key, parent int references parent)`,
      'insert into parent values (1); insert into child values (1, 1); insert into keyless values (1), (2)',
    );
    await walkTo(pair, database, 'copy-tables');
    await copyTables.undo!(pair.context(database));
    await createSubscription.undo!(pair.context(database));
    await createSlot.undo!(pair.context(database));
    await pair.query('source', database, 'insert into keyless values (3)');
    await walkTo(pair, database, 'copy-tables');
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
    await walkTo(pair, database, 'create-subscription');
    await expect(runOperation(copyTables, pair.context(database))).rejects.toMatchObject({
      message: expect.stringContaining('did not make this database'),
    });
    expect(await pair.query('target', database, 'select id from t')).toEqual([{ id: 42 }]);
  });

  test('a database that applications use on the target is never copied into', async () => {
    const database = await schemaOnBothSides(
      pair,
      'open',
      'create table t (id int primary key)',
      'insert into t values (1)',
    );
    await walkTo(pair, database, 'create-subscription');
    const opened = { fencedAt: '2026-01-01', openedAt: '2026-01-01', lsn: '0/1', outageMs: 1 };
    await pair.context(database).targetLedger.record(openedKey(database), opened);
    expect((await runOperation(copyTables, pair.context(database))).changed).toBe(false);
    await expect(copyTables.apply!(pair.context(database), [])).rejects.toMatchObject({
      message: expect.stringContaining('applications have been using it'),
    });
    expect(await pair.query('target', database, 'select id from t')).toEqual([]);
  });

  test('a table that was added to the publication later is copied too', async () => {
    const database = await schemaOnBothSides(
      pair,
      'grown',
      'create table one (id int primary key)',
      'insert into one values (1)',
    );
    await walkTo(pair, database, 'copy-tables');
    for (const side of ['source', 'target'] as const)
      await pair.query(side, database, 'create table two (id int primary key)');
    await pair.query('source', database, 'insert into two values (2)');
    await walkTo(pair, database, 'copy-tables');
    expect(await pair.query('target', database, 'select id from two')).toEqual([{ id: 2 }]);
  });

  test('the privilege that was revoked is named, with the lines that give it back', async () => {
    // From 14 on the role reads everything; an attribute it lost shows the same.
    await using old = await TestPair.open({ source: 13 });
    const database = await schemaOnBothSides(
      old,
      'revoked',
      'create table "Order Items" (id int primary key)',
      'insert into "Order Items" values (1)',
    );
    await walkTo(old, database, 'create-subscription');
    const { role } = old.clusters.settings.replication;
    await old.query('source', database, `revoke select on "Order Items" from ${role}`);
    await expect(runOperation(copyTables, old.context(database))).rejects.toMatchObject({
      message: expect.stringContaining(`"${role}" may not read "public"."Order Items"`),
      hint: expect.stringContaining(`GRANT SELECT ON "public"."Order Items" TO "${role}"`),
      disposition: 'give-up',
    });
    await old.query('source', database, `grant select on "Order Items" to ${role}`);
    await runOperation(copyTables, old.context(database));
    expect(await old.query('target', database, 'select id from "Order Items"')).toEqual([{ id: 1 }]);
  });

  test('a column that the target lacks is named', async () => {
    const database = await schemaOnBothSides(pair, 'altered', 'create table t (id int primary key)');
    await pair.query('source', database, 'alter table t add "new column" int');
    await walkTo(pair, database, 'create-subscription');
    await expect(runOperation(copyTables, pair.context(database))).rejects.toMatchObject({
      message: expect.stringContaining('"public"."t" lacks column "new column"'),
    });
  });

  test('rows that somebody wrote meanwhile are noticed instead of tried for ever', async () => {
    const database = await schemaOnBothSides(
      pair,
      'filled',
      'create table t (id int primary key)',
      'insert into t values (1)',
    );
    await walkTo(pair, database, 'create-subscription');
    // Written after the look for rows: as if it came between this look and the copy.
    const name = subscriptionName(database);
    await pair.query('target', database, `alter subscription ${name} enable; insert into t values (1)`);
    await expect(runOperation(copyTables, pair.context(database))).rejects.toMatchObject({
      message: expect.stringContaining('"public"."t" held rows before the copy'),
      hint: expect.stringContaining('TRUNCATE "public"."t"'),
    });
  });

  test('a lock held past the deadline: the holder is named, and the retry goes through', async () => {
    const database = await schemaOnBothSides(
      pair,
      'locked',
      'create table t (id int primary key)',
      'insert into t values (1)',
    );
    await walkTo(pair, database, 'create-subscription');
    const holder = new pg.Client({ ...pair.clusters.source.address, database, application_name: 'vacuum full' });
    await holder.connect();
    try {
      await holder.query('begin; lock table t in access exclusive mode');
      await expect(runOperation(copyTables, pair.context(database))).rejects.toMatchObject({
        name: 'DeadlineExceeded',
        message: expect.stringMatching(
          /source, database .* pid \d+ \(user "postgres", vacuum full.*holds AccessExclusiveLock on public\.t/,
        ),
      });
    } finally {
      await holder.end();
    }
    expect((await runOperation(copyTables, pair.context(database))).output).toEqual({ tables: 1 });
  });
});
