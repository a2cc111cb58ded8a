import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { awaitLsn } from '../../../src/operations/cutover/await-lsn.ts';
import { awaitLsnTogether } from '../../../src/operations/cutover/await-lsn-together.ts';
import { fenceSource } from '../../../src/operations/cutover/fence-source.ts';
import { fenceTogether } from '../../../src/operations/cutover/fence-together.ts';
import { awaitCatchUp } from '../../../src/operations/replication/await-catch-up.ts';
import { copyTables } from '../../../src/operations/replication/copy-tables.ts';
import { pairOf } from '../../../src/operations/replication/pair.ts';
import { proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';
import { schemaOnBothSides, walkTo } from '../../helpers/streaming.ts';
import { eventually } from '../../helpers/wait.ts';

describe.each([
  { source: 10, target: 18 },
  { source: 13, target: 17 },
  { source: 15, target: 18 },
] as const)('from $source to $target', ({ source, target }) => {
  let pair: TestPair;
  let database: string;
  beforeAll(async () => {
    pair = await TestPair.open({ source, target, settings: { deadlines: { fence: '8s' } } });
    database = await schemaOnBothSides(
      pair,
      'My "odd" DB',
      'create table t (id int primary key)',
      'insert into t values (0)',
    );
    await walkTo(pair, database, 'await-catch-up');
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  test('the target has every row when it is through, also those of a large last transaction', async () => {
    await pair.query('source', database, 'insert into t select generate_series(1, 30000)');
    const fence = await runOperation(fenceSource, pair.context(database));
    const { output } = await runOperation(awaitLsn, pair.context(database));
    expect(output).toEqual({ lsn: (fence.output as { lsn: string }).lsn });
    expect(await pair.query('target', database, 'select count(*)::int from t')).toEqual([{ count: 30_001 }]);
    expect((await runOperation(awaitLsn, pair.context(database))).changed).toBe(false);
    await fenceSource.undo!(pair.context(database));
  });

  test('an idle source costs a fraction of a second', async () => {
    const started = Date.now();
    await runOperation(fenceSource, pair.context(database));
    await runOperation(awaitLsn, pair.context(database));
    expect(Date.now() - started).toBeLessThan(5_000);
    await fenceSource.undo!(pair.context(database));
  });

  test('killed in the middle, it converges', async () => {
    await pair.query('source', database, 'delete from t where id > 0; insert into t select generate_series(1, 30000)');
    await runOperation(fenceSource, pair.context(database));
    await proveKilledAndRunAgain(pair, awaitLsn, database, [1, 10, 30]);
    expect(await pair.query('target', database, 'select count(*)::int from t')).toEqual([{ count: 30_001 }]);
    await fenceSource.undo!(pair.context(database));
  });

  // Its marker is in the maintenance database, so their walsenders may have nothing more to send: the deadline is less than what
  // an idle worker of PostgreSQL 10 takes to say by itself how far it is.
  test('a group, of which one writes and the other does not', async () => {
    const other = await schemaOnBothSides(pair, 'other', 'create table t (id int primary key)');
    await walkTo(pair, other, 'await-catch-up');
    const group = { databases: [database, other], options: { together: true } };
    for (let round = 1; round <= 5; round++) {
      await pair.query('source', other, `insert into t select ${round} * 10000 + generate_series(1, 10000)`);
      await runOperation(fenceTogether, pair.context(undefined, group));
      await runOperation(awaitLsnTogether, pair.context(undefined, group));
      expect(await pair.query('target', other, 'select count(*)::int from t')).toEqual([{ count: round * 10_000 }]);
      for (const each of group.databases) await fenceSource.undo!(pair.context(each, group));
    }
  });
});

test('past the deadline it says so, and fences nothing by itself', async () => {
  await using pair = await TestPair.open({ settings: { deadlines: { fence: '600ms' } } });
  const database = await schemaOnBothSides(pair, 'late', 'create table t (id int primary key)');
  await walkTo(pair, database, 'await-catch-up');
  await copyTables.undo!(pair.context(database));
  await pair.query('source', database, 'insert into t values (1)');
  await runOperation(fenceSource, pair.context(database));
  await expect(runOperation(awaitLsn, pair.context(database))).rejects.toMatchObject({
    name: 'DeadlineExceeded',
    message: expect.stringContaining('it has not got everything up to'),
    disposition: 'give-up',
  });
  await fenceSource.undo!(pair.context(database));
  await expect(runOperation(awaitLsn, pair.context(database))).rejects.toThrow(/the fence does not stand/);
  expect((await fenceSource.check(pair.context(database))).holds).toBe(false);
});

/** Of pglogical, which needs a key for each row, fewer: that a gate by lag would not hold them back is seen right after the commit. */
test.each([
  ['native', 2_000_000, 'create table t (id int); alter table t replica identity full'],
  ['pglogical', 500_000, 'create table t (id int primary key)'],
] as const)(
  '%s: %i rows committed right before the fence, while the lag reads nothing: it waits for every one',
  async (engineName, count, schema) => {
    const settings = { deadlines: { fence: '2m', outage: '3m' } };
    await using pair = await TestPair.open({ engine: engineName, settings });
    const database = await schemaOnBothSides(pair, 'huge', schema);
    await walkTo(pair, database, 'await-catch-up');
    const writer = new pg.Client({ ...pair.clusters.source.address, database });
    await writer.connect();
    await writer.query('begin');
    await writer.query(`insert into t select generate_series(1, ${count})`);
    // The target has confirmed all there is of it to send: nothing, before the commit.
    const { engine } = pair.context(database);
    const lag = async () => (await engine.slot(pairOf(pair.context(database)))).lagBytes;
    const rows = () => pair.query('target', database, 'select count(*)::int, sum(id::bigint)::text from t');
    await eventually(async () => expect(await lag()).toBeLessThan(10_000), { timeoutMs: 60_000 });
    const caughtUp = await runOperation(awaitCatchUp, pair.context(database, { input: { bytes: 10_000 } }));
    expect(caughtUp.changed).toBe(false);
    await writer.query('commit');
    // Whoever opened by the lag would open here. Others write on this server too: a row is more than ten bytes of WAL.
    expect(await rows()).toEqual([{ count: 0, sum: null }]);
    expect(await lag()).toBeLessThan(count * 10);
    await writer.end();
    await runOperation(fenceSource, pair.context(database));
    await runOperation(awaitLsn, pair.context(database));
    expect(await rows()).toEqual([{ count, sum: String((count * (count + 1)) / 2) }]);
  },
  180_000,
);
