import { afterAll, beforeAll, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { openedKey } from '../../../src/operations/cutover/opened.ts';
import { UnanalyzedTable, unanalyzedTables } from '../../../src/postgres/catalog/unanalyzed-tables.ts';
import { copyUnloggedTables } from '../../../src/operations/unreplicated/copy-unlogged-tables.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';

const SCHEMA = `
  create schema "odd, schema";
  create unlogged table "odd, schema"."Cache, 100%" (
    id int generated always as identity primary key, "select" text, price float8, twice float8 generated always as (price * 2) stored);
  create unlogged table parent (a int primary key);
  create unlogged table child (a int references parent);
  create unlogged table no_columns ();
  create unlogged table empty (a int);
  create table parted (a int) partition by range (a);
  create unlogged table leaf partition of parted for values from (0) to (100);
  create table logged (a int);
  create table noted (a int);
  create function note() returns trigger language plpgsql as 'begin insert into noted values (1); return null; end';
  create trigger noted after insert or update or delete or truncate on parent for each statement execute function note();`;
const ROWS = `
  insert into "odd, schema"."Cache, 100%" ("select", price) select 'ü "quoted", ' || n, n / 7.0::float8 from generate_series(1, 3000) n;
  insert into parent values (1), (2); insert into child values (2), (null);
  insert into no_columns default values; insert into no_columns default values;
  insert into leaf values (1), (99); insert into logged values (1);`;
const ALL = `
  select (select json_agg(row(id, "select", price, twice) order by id) from "odd, schema"."Cache, 100%")::text as cache,
         (select json_agg(a order by a) from parent) as parent, (select json_agg(a order by a) from child) as child,
         (select count(*)::int from no_columns) as empty_rows, (select count(*)::int from empty) as none,
         (select json_agg(a order by a) from leaf) as leaf`;

let pair: TestPair;
let database: string;
beforeAll(async () => {
  pair = await TestPair.open();
  database = await pair.database('My "odd" DB', SCHEMA, ['source', 'target']);
  await pair.query('source', database, ROWS);
  await pair.query('source', database, 'delete from noted');
});
afterAll(() => pair[Symbol.asyncDispose]());

const equal = async () =>
  expect(await pair.query('target', database, ALL)).toEqual(await pair.query('source', database, ALL));

test('keeps the contract; nothing fires', async () => {
  const { output } = await proveContract(pair, copyUnloggedTables, database);
  expect(output).toEqual({ unloggedTables: 6, unloggedRows: 3008 });
  await equal();
  expect(await pair.query('target', database, 'select count(*)::int as n from noted')).toEqual([{ n: 0 }]);
  expect(await pair.query('target', database, 'select count(*)::int as n from logged')).toEqual([{ n: 0 }]);
  // Nothing else gathers statistics before applications come. A partitioned table has none of its own until all its partitions are read.
  expect(await pair.context(database).target.many(UnanalyzedTable, unanalyzedTables())).toMatchObject([
    { name: 'parted', kind: 'p' },
  ]);
});

test('rows that were changed, added, removed or emptied on the source since, one by one', async () => {
  await pair.query(
    'source',
    database,
    `update "odd, schema"."Cache, 100%" set "select" = 'changed' where id = 7; delete from child where a = 2; delete from parent where a = 1;
     truncate leaf; insert into empty values (1)`,
  );
  await proveKilledAndRunAgain(pair, copyUnloggedTables, database, [5, 15, 30]);
  await equal();
});

test('back in the other direction', async () => {
  await pair.query(
    'target',
    database,
    'truncate no_columns, empty; insert into parent values (8); insert into child values (8)',
  );
  expect((await runOperation(copyUnloggedTables, pair.context(database, { reversed: true }))).output).toMatchObject({
    unloggedTables: 6,
  });
  await equal();
});

test('a table that an application uses on the target is never emptied', async () => {
  const open = await pair.database('open', 'create unlogged table t (a int)', ['source', 'target']);
  await pair.query('target', open, 'insert into t values (1)');
  const opened = { fencedAt: '2026-01-01', openedAt: '2026-01-01', lsn: '0/1', outageMs: 1 };
  await pair.context(open).targetLedger.record(openedKey(open), opened);
  expect((await runOperation(copyUnloggedTables, pair.context(open))).changed).toBe(false);
  expect(await copyUnloggedTables.undo!(pair.context(open))).toBe(false);
  expect(await pair.query('target', open, 'select a from t')).toEqual([{ a: 1 }]);
});
