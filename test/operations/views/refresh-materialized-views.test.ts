import { afterAll, beforeAll, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { fenceSource } from '../../../src/operations/cutover/fence-source.ts';
import { createPublication } from '../../../src/operations/replication/create-publication.ts';
import { createSlot } from '../../../src/operations/replication/create-slot.ts';
import { refreshMaterializedViews } from '../../../src/operations/views/refresh-materialized-views.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';

const SCHEMA = `
  create table "Order Items" (id int primary key, "select" int);
  create schema "My Schema";
  -- By name the last one comes first, and one is read through a plain view.
  create materialized view z_first as select count(*) as n from "Order Items";
  create view between_them as select n + 1 as n from z_first;
  create materialized view "My Schema"."A second" as select n from between_them;
  create materialized view a_third as select n from "My Schema"."A second";
  create materialized view never_filled as select 1 as one with no data;`;

let pair: TestPair;
let database: string;
beforeAll(async () => {
  pair = await TestPair.open();
  database = await pair.database('My "odd" DB', SCHEMA, ['source', 'target']);
  // A database is fenced only when there is a slot from which the target gets the last rows.
  await runOperation(createPublication, pair.context(database));
  await runOperation(createSlot, pair.context(database));
  for (const view of ['a_third', '"My Schema"."A second"', 'z_first']) {
    await pair.query('target', database, `refresh materialized view ${view} with no data`);
  }
  await pair.query('target', database, 'insert into "Order Items" values (1, 1), (2, 2)');
});
afterAll(() => pair[Symbol.asyncDispose]());

const third = async () => (await pair.query('target', database, 'select n::int from a_third'))[0]?.['n'];

test('keeps the contract, in the order in which the views read from each other', async () => {
  await runOperation(fenceSource, pair.context(database));
  expect((await proveContract(pair, refreshMaterializedViews, database)).output).toEqual({ views: 3 });
  expect(await third()).toBe(3);
  const [never] = await pair.query(
    'target',
    database,
    `select relispopulated from pg_class where relname = 'never_filled'`,
  );
  expect(never).toEqual({ relispopulated: false });
  const blind = await pair.query(
    'target',
    database,
    `select relname from pg_class where relkind = 'm' and relispopulated and reltuples < 1`,
  );
  expect(blind, 'each has statistics').toEqual([]);
});

test('after another fence, full views are stale and are refreshed again', async () => {
  await fenceSource.undo!(pair.context(database));
  await pair.query('target', database, 'insert into "Order Items" values (3, 3)');
  await runOperation(fenceSource, pair.context(database));
  await proveKilledAndRunAgain(pair, refreshMaterializedViews, database, [5, 20]);
  expect(await third()).toBe(4);
});

test('left, where the configuration says so', async () => {
  await using other = await TestPair.open({ settings: { notReplicated: { materializedViews: 'leave' } } });
  const left = await other.database('left', 'create materialized view m as select 1 as one', ['source']);
  expect((await runOperation(refreshMaterializedViews, other.context(left))).changed).toBe(false);
});

test('a database without materialized views needs nothing', async () => {
  const plain = await pair.database('plain', 'create table t (a int primary key)', ['source', 'target']);
  expect(await runOperation(refreshMaterializedViews, pair.context(plain))).toEqual({
    changed: false,
    output: { views: 0 },
    findings: [],
  });
});
