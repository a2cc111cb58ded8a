import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { setReplicaIdentity } from '../../../src/operations/tables/set-replica-identity.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';

let pair: TestPair;
beforeAll(async () => {
  pair = await TestPair.open({ settings: { deadlines: { lockTimeout: '100ms' } } });
});
afterAll(async () => {
  await pair[Symbol.asyncDispose]();
});

const TABLES = `
  create table animal (id int primary key, name text);
  create table fish (name text);
  create schema "Shop, 100%";
  create table "Shop, 100%"."Order Items" ("select" int not null unique, "from" int);
  create table two_keys (a int not null, b int not null, c int not null, unique (a, b));
  create unique index two_keys_c on two_keys (c);
  create table unfit (a int unique, b int not null, c int primary key deferrable);
  create unique index unfit_part on unfit (b) where b > 0;
  create unique index unfit_expression on unfit ((b + 1));
  create table told_nothing (a int not null unique);
  alter table told_nothing replica identity nothing;
  create table parts (a int, at date) partition by range (at);
  create table parts_1 partition of parts for values from ('2020-01-01') to ('2021-01-01');
  create unlogged table cache (a int);
  create extension hstore;
  create table of_hstore (a int);
  alter extension hstore add table of_hstore;
`;

async function identities(side: 'source' | 'target', database: string): Promise<Record<string, string>> {
  const rows = await pair.query(
    side,
    database,
    `select c.relname, c.relreplident::text || coalesce(' ' || i.relname, '') as identity
       from pg_class c left join pg_class i on i.oid = pg_get_replica_identity_index(c.oid)
      where c.relkind in ('r', 'p') and c.relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema')
      order by 1`,
  );
  return Object.fromEntries(rows.map((row) => [row['relname'], row['identity']]));
}

const BEFORE = {
  animal: 'd animal_pkey',
  cache: 'd',
  fish: 'd',
  of_hstore: 'd',
  'Order Items': 'd',
  parts: 'd',
  parts_1: 'd',
  told_nothing: 'n',
  two_keys: 'd',
  unfit: 'd',
};
const AFTER = {
  ...BEFORE,
  fish: 'f',
  'Order Items': 'i Order Items_select_key',
  parts_1: 'f',
  told_nothing: 'i told_nothing_a_key',
  two_keys: 'i two_keys_c',
  unfit: 'f',
};

test('an index that is there, the smallest first, else the whole row; and back', async () => {
  const database = await pair.database('My "odd" DB', TABLES);
  const { output } = await proveContract(pair, setReplicaIdentity, database);
  expect(output).toEqual({ tables: 7, usingIndex: 3, full: 3, surrogateKeys: 0, skipped: 0 });
  expect(await identities('source', database)).toEqual(AFTER);

  expect(await setReplicaIdentity.undo?.(pair.context(database))).toBe(true);
  expect(await identities('source', database)).toEqual(BEFORE);
  expect(await pair.context(database).sourceLedger.entries('replica-identity', database)).toEqual([]);
});

test('the ledger knows what was before, as it was the first time', async () => {
  const database = await pair.database('ledger', 'create table t (a int); alter table t replica identity nothing');
  await runOperation(setReplicaIdentity, pair.context(database));
  await pair.query(
    'source',
    database,
    'alter table t replica identity default; alter table t add b int not null unique',
  );
  await runOperation(setReplicaIdentity, pair.context(database));
  const entries = await pair.context(database).sourceLedger.entries('replica-identity', database);
  expect(entries).toMatchObject([
    { object: '"public"."t"', before: { identity: 'n', index: null, made: { identity: 'i', index: 't_b_key' } } },
  ]);
  await setReplicaIdentity.undo?.(pair.context(database));
  expect(await identities('source', database)).toEqual({ t: 'n' });
});

test('undo takes it back on the target too, and leaves what an operator has chosen since', async () => {
  const database = await pair.database('both sides', 'create table carried (a int); create table chosen (a int)', [
    'source',
    'target',
  ]);
  await runOperation(setReplicaIdentity, pair.context(database));
  await pair.query('target', database, 'alter table carried replica identity full');
  await pair.query('source', database, 'alter table chosen replica identity nothing');
  expect(await setReplicaIdentity.undo?.(pair.context(database))).toBe(true);
  expect(await identities('source', database)).toEqual({ carried: 'd', chosen: 'n' });
  expect(await identities('target', database)).toEqual({ carried: 'd', chosen: 'd' });
});

test('a table of a type without equality is left to a person, after all others are done', async () => {
  const database = await pair.database(
    'json',
    'create table documents (body json, at point[]); create table fish (name text); create table zebra (name text)',
  );
  const failure = runOperation(setReplicaIdentity, pair.context(database));
  await expect(failure).rejects.toMatchObject({
    disposition: 'give-up',
    message: expect.stringMatching(/"public"\."documents" \(.*body json, at point\[\]\)/),
    hint: expect.stringContaining(`{ database: "${database}", table: "public.documents", choice: surrogate-key }`),
  });
  expect(await identities('source', database)).toEqual({ documents: 'd', fish: 'f', zebra: 'f' });

  await pair.query('source', database, 'alter table documents add id int generated always as identity primary key');
  expect((await runOperation(setReplicaIdentity, pair.context(database))).changed).toBe(false);
});

test('a locked table holds up no other, and its holder is named', async () => {
  const database = await pair.database('locked', 'create table busy (a int); create table idle (a int)');
  const holder = new pg.Client({ ...pair.source, database, application_name: 'till' });
  await holder.connect();
  try {
    await holder.query('begin; insert into busy values (1)');
    const { rows } = await holder.query<{ pid: number }>('select pg_backend_pid() as pid');
    await expect(runOperation(setReplicaIdentity, pair.context(database))).rejects.toMatchObject({
      disposition: 'wait',
      message: expect.stringMatching(new RegExp(`"public"."busy".*pid ${rows[0]?.pid} \\(user "postgres", till`)),
      hint: expect.stringContaining(`pg_terminate_backend(${rows[0]?.pid})`),
    });
    expect(await identities('source', database)).toEqual({ busy: 'd', idle: 'f' });
    await holder.query('commit');
  } finally {
    await holder.end();
  }
  const { changed, output } = await runOperation(setReplicaIdentity, pair.context(database));
  expect({ changed, output }).toMatchObject({ changed: true, output: { full: 2 } });
});

test('killed in the middle it goes on where it was', async () => {
  const many = Array.from({ length: 60 }, (_, n) => `create table t${n} (a int);`).join(' ');
  const database = await pair.database('killed', many);
  const { output } = await proveKilledAndRunAgain(pair, setReplicaIdentity, database, [5, 40, 100]);
  expect(output).toMatchObject({ tables: 60, full: 60 });
  expect(await setReplicaIdentity.undo?.(pair.context(database))).toBe(true);
  expect(new Set(Object.values(await identities('source', database)))).toEqual(new Set(['d']));
});

test('progress counts tables', async () => {
  const database = await pair.database('progress', 'create table t1 (a int); create table t2 (a int)');
  const seen: unknown[] = [];
  await runOperation(setReplicaIdentity, pair.context(database, { onProgress: (progress) => seen.push(progress) }));
  expect(seen).toEqual([
    { done: 0, total: 2, unit: 'tables', note: '"public"."t1"' },
    { done: 1, total: 2, unit: 'tables', note: '"public"."t2"' },
  ]);
});
