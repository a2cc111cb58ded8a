import { afterAll, beforeAll, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { fenceSource } from '../../../src/operations/cutover/fence-source.ts';
import { heldKey } from '../../../src/operations/cutover/rehearsal.ts';
import { copyLargeObjects } from '../../../src/operations/large-objects/copy-large-objects.ts';
import { createPublication } from '../../../src/operations/replication/create-publication.ts';
import { createSlot } from '../../../src/operations/replication/create-slot.ts';
import { copyUnreplicated } from '../../../src/operations/unreplicated/copy-unreplicated.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';

const SCHEMA = `
  create table "Order Items" (id int primary key, picture oid);
  create unlogged table "Cache %" ("select" text, n int);
  create materialized view z_first as select count(*) as n from "Cache %";
  create view between_them as select n + (select count(*) from "Order Items") as n from z_first;
  create materialized view a_second as select n from between_them;
  create materialized view never_filled as select 1 as one with no data;`;
const ROWS = `
  insert into "Order Items" values (1, lo_from_bytea(101, 'one')), (2, lo_from_bytea(102, 'two'));
  insert into "Cache %" select 'ü ' || n, n from generate_series(1, 2000) n;
  refresh materialized view z_first; refresh materialized view a_second;`;
const ALL = `
  select (select json_agg(row("select", n) order by n)::text from "Cache %") as cache, (select n::int from a_second) as second,
         (select json_agg(loid || ' ' || encode(data, 'hex') order by loid)::text from pg_largeobject) as objects`;

let pair: TestPair;
let database: string;
beforeAll(async () => {
  pair = await TestPair.open();
  database = await pair.database('My "odd" DB', SCHEMA, ['source', 'target']);
  await pair.query('source', database, ROWS);
  // A database is fenced only when there is a slot from which the target gets the last rows.
  await runOperation(createPublication, pair.context(database));
  await runOperation(createSlot, pair.context(database));
  await pair.query('target', database, 'insert into "Order Items" values (1, 101), (2, 102)');
});
afterAll(() => pair[Symbol.asyncDispose]());

const equal = async () =>
  expect(await pair.query('target', database, ALL)).toEqual(await pair.query('source', database, ALL));

test('keeps the contract: everything at once, views last, since they read the others', async () => {
  for (const view of ['a_second', 'z_first']) {
    await pair.query('target', database, `refresh materialized view ${view} with no data`);
  }
  await runOperation(copyLargeObjects, pair.context(database));
  await pair.query(
    'source',
    database,
    `select lo_put(101, 3, ' and later'), lo_unlink(102), lo_from_bytea(103, 'three')`,
  );
  await runOperation(fenceSource, pair.context(database));
  const { output, changes } = await proveContract(pair, copyUnreplicated, database);
  expect(output).toEqual({
    extensionTables: 0,
    extensionRows: 0,
    unloggedTables: 1,
    unloggedRows: 2000,
    largeObjects: 2,
    largeObjectBytes: 18,
    views: 2,
  });
  expect(changes).toEqual({ unloggedTables: 1, largeObjects: 3, 'refresh-materialized-views': 2 });
  await equal();
});

test('killed in the middle, behind another fence', async () => {
  await fenceSource.undo!(pair.context(database));
  await pair.query(
    'source',
    database,
    `update "Cache %" set "select" = 'changed' where n < 10; delete from "Cache %" where n > 1000; select lo_put(103, 0, 'THREE');
     refresh materialized view z_first; refresh materialized view a_second`,
  );
  await runOperation(fenceSource, pair.context(database));
  await proveKilledAndRunAgain(pair, copyUnreplicated, database, [10, 30, 60, 100]);
  await equal();
});

test('a rehearsal does it once, although the source goes on, and takes it back', async () => {
  const rehearsed = await pair.database('rehearsed', 'create unlogged table t (a int)', ['source', 'target']);
  await pair.query('source', rehearsed, 'insert into t values (1)');
  const context = () => pair.context(rehearsed, { options: { rehearsal: true } });
  await context().targetLedger.replace(heldKey(rehearsed), { run: 'r', lsn: '0/1' });
  const verdict = await copyUnreplicated.check(context());
  await copyUnreplicated.apply!(context(), 'missing' in verdict ? verdict.missing : []);
  await pair.query('source', rehearsed, 'insert into t values (2)');
  expect((await copyUnreplicated.check(context())).holds).toBe(true);
  expect((await copyUnreplicated.check(pair.context(rehearsed))).holds, 'a cutover looks again').toBe(false);
  expect(await copyUnreplicated.undo!(context())).toBe(true);
  expect(await pair.query('target', rehearsed, 'select a from t')).toEqual([]);
  expect((await copyUnreplicated.check(context())).holds).toBe(false);
});

test('a database that has nothing of all that is looked at once, and not changed', async () => {
  const plain = await pair.database('plain', 'create table t (a int primary key)', ['source', 'target']);
  expect(await runOperation(copyUnreplicated, pair.context(plain))).toMatchObject({
    changed: false,
    output: { unloggedTables: 0, largeObjects: 0, views: 0, extensionTables: 0 },
  });
});
