import { mkdtemp, readdir, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { PgconvoyError } from '../../../src/errors.ts';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { createDatabase } from '../../../src/operations/databases/create-database.ts';
import { analyzeTables } from '../../../src/operations/schema/analyze-tables.ts';
import { buildIndexes } from '../../../src/operations/schema/build-indexes.ts';
import { copySchema } from '../../../src/operations/schema/copy-schema.ts';
import { openedKey } from '../../../src/operations/cutover/opened.ts';
import { createDeferredTriggers } from '../../../src/operations/schema/create-deferred-triggers.ts';
import { dropRestoreJournal } from '../../../src/operations/schema/drop-restore-journal.ts';
import { id } from '../../../src/postgres/sql.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';
import { richSchema, richSchema12 } from './rich-schema.ts';
import { databaseOn, dump, everythingAfterTheCopy } from './schemas.ts';

let pair: TestPair;
beforeAll(async () => {
  pair = await TestPair.open();
});
afterAll(() => pair[Symbol.asyncDispose]());

describe('a schema with nearly everything', () => {
  let name: string;
  beforeAll(async () => {
    name = await databaseOn(pair, 'Rich "schema"', richSchema12);
  });

  test('before the copy: everything but indexes, constraints and triggers', async () => {
    const { output } = await proveContract(pair, copySchema, name);
    expect(output).toEqual({ objects: expect.any(Number) });
    const indexes = await pair.query(
      'target',
      name,
      `select c.relname from pg_index i join pg_class c on c.oid = indexrelid join pg_namespace n on n.oid = relnamespace
        where n.nspname in ('public', 'Odd, %schema') order by c.relname collate "C"`,
    );
    expect(indexes.map((row) => row['relname'])).toEqual([
      'Order Items_pkey',
      'child_pkey',
      'computed_pkey',
      'keyless id',
      'parted_1_pkey',
      'parted_2_pkey',
      'parted_pkey',
    ]);
    expect(await pair.query('target', name, `select tgname from pg_trigger where not tgisinternal`)).toEqual([]);
    expect(await pair.query('target', name, `select evtname from pg_event_trigger`)).toEqual([]);
  });

  test('after the copy: the rest, but nothing that fires while rows are applied', async () => {
    await pair.query(
      'target',
      name,
      `insert into public.parted select n, '2020-01-01'::date + n from generate_series(1, 700) n; insert into keyless values (1)`,
    );
    const progress: number[] = [];
    const context = pair.context(name, { onProgress: ({ done, total }) => progress.push(done / total) });
    const first = await runOperation(buildIndexes, context);
    expect(first.changed).toBe(true);
    expect(progress.at(-1)).toBe(1);
    expect((await runOperation(buildIndexes, pair.context(name))).changed).toBe(false);
    const firing = await pair.query('target', name, `select tgname from pg_trigger where tgenabled in ('A', 'R')`);
    expect(firing).toEqual([]);
    expect(await pair.query('target', name, `select from pg_namespace where nspname = 'pgconvoy'`)).toEqual([]);
  });

  test('inside the outage: triggers that fire during replication, and event triggers', async () => {
    const { output } = await proveContract(pair, createDeferredTriggers, name);
    expect(output).toEqual({ triggers: 3, eventTriggers: 1 });
  });

  test('then both schemas are the same', async () => {
    expect(await dump(pair, pair.target, name)).toEqual(await dump(pair, pair.source, name));
  });

  test('statistics for every table with rows', async () => {
    await proveContract(pair, analyzeTables, name);
    const rows = await pair.query(
      'target',
      name,
      `select distinct starelid::regclass::text as name from pg_statistic where starelid >= 16384 order by 1`,
    );
    expect(rows.map((row) => row['name'])).toEqual(['keyless', 'parted', 'parted_1', 'parted_2']);
  });

  test('an object that somebody drops on the target is made again', async () => {
    await pair.query(
      'target',
      name,
      `drop view public.simple; drop index public."child parent %"; drop policy "only mine" on child`,
    );
    expect((await copySchema.check(pair.context(name))).holds).toBe(false);
    expect((await runOperation(copySchema, pair.context(name))).changed).toBe(true);
    expect((await runOperation(buildIndexes, pair.context(name))).changed).toBe(true);
    expect(await dump(pair, pair.target, name)).toEqual(await dump(pair, pair.source, name));
  });
});

test('killed at any point it converges, nothing is made twice, and no file is left', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'killed-'));
  vi.stubEnv('TMPDIR', folder);
  const name = await databaseOn(pair, 'killed schema', richSchema12);
  await proveKilledAndRunAgain(pair, copySchema, name, [20, 250, 400, 500, 600]);
  await proveKilledAndRunAgain(pair, buildIndexes, name, [10, 30, 60, 90]);
  await proveKilledAndRunAgain(pair, createDeferredTriggers, name, [5, 10]);
  expect(await dump(pair, pair.target, name)).toEqual(await dump(pair, pair.source, name));
  expect(await readdir(folder)).toEqual([]);
  vi.unstubAllEnvs();
  await rmdir(folder);
});

describe('objects that the target does not take', () => {
  test('are named one by one with their cause; the others are made; mended on the source, the step goes on', async () => {
    const name = await databaseOn(
      pair,
      'broken',
      `create function public.gone() returns int language c as '$libdir/hstore', 'hstore_in';
       create table public.good (a int primary key);
       create view public.uses as select public.gone() as a;
       create table public.good_too (a int);
       create function public.fine() returns int language sql as 'select 1';
       create index on public.good (a);`,
    );
    // The library that the function is in is not there on the target.
    await pair.query('source', name, `update pg_proc set probin = '$libdir/of another age' where proname = 'gone'`);
    const error = (await runOperation(copySchema, pair.context(name)).catch(
      (thrown: unknown) => thrown,
    )) as PgconvoyError;
    expect(error.message).toMatch(/target, database ".*": 2 of \d+ objects could not be made/);
    expect(error.message).toMatch(/FUNCTION public\.gone\(\): could not access file "of another age"/);
    expect(error.message).toMatch(/VIEW public\.uses: function public\.gone\(\) does not exist/);
    expect(error.disposition).toBe('give-up');
    const made = await pair.query(
      'target',
      name,
      `select relname from pg_class where relname like 'good%' and relkind = 'r' order by 1`,
    );
    expect(made).toEqual([{ relname: 'good' }, { relname: 'good_too' }]);

    await pair.query('source', name, `drop function public.gone() cascade`);
    expect((await runOperation(copySchema, pair.context(name))).changed).toBe(true);
    await everythingAfterTheCopy(pair, name);
    expect(await dump(pair, pair.target, name)).toEqual(await dump(pair, pair.source, name));
  });
});

test('tablespaces that the target has not got: its default is used', async () => {
  const space = id(pair.name('My "fast" space')).text;
  const client = new pg.Client({ ...pair.source, database: 'postgres' });
  await client.connect();
  await client.query('set allow_in_place_tablespaces = on');
  await client.query(`create tablespace ${space} location ''`);
  await client.end();
  const name = await databaseOn(
    pair,
    'spaces',
    `create table here (a int); create table there (a int primary key) tablespace ${space}; create table here_too (a int);
     create index on here (a) tablespace ${space}`,
  );
  await runOperation(copySchema, pair.context(name));
  await everythingAfterTheCopy(pair, name);
  expect(await dump(pair, pair.target, name)).toEqual(await dump(pair, pair.source, name));
  await pair.query('source', name, `drop table here, there`);
  await pair.query('source', name, `drop tablespace ${space}`);
});

test('a database that has standard_conforming_strings off', async () => {
  const name = await databaseOn(
    pair,
    'backslashes',
    `do $$ begin execute format('alter database %I set standard_conforming_strings = off', current_database()); end $$;
     create table public."back\\slash" (a text default E'\\\\ it''s'); create table public.filled (a int) with (fillfactor = 70)`,
  );
  await proveContract(pair, copySchema, name);
  expect(await dump(pair, pair.target, name)).toEqual(await dump(pair, pair.source, name));
});

test('a database without objects', async () => {
  const name = await databaseOn(pair, 'nothing', 'revoke all on schema public from public');
  await runOperation(copySchema, pair.context(name));
  await everythingAfterTheCopy(pair, name);
  expect(await dump(pair, pair.target, name)).toEqual(await dump(pair, pair.source, name));
  expect((await runOperation(copySchema, pair.context(name))).changed).toBe(false);
});

test('a database that is open on the target is left to the applications', async () => {
  const name = await databaseOn(pair, 'open', `create table t (a int primary key); create index on t (a)`);
  await runOperation(copySchema, pair.context(name));
  await everythingAfterTheCopy(pair, name);
  await pair
    .context(name)
    .targetLedger.record(openedKey(name), { fencedAt: 'then', openedAt: 'now', lsn: '0/1', outageMs: 1 });
  await pair.query('target', name, 'drop table t; create table theirs (a int); insert into theirs values (1)');
  for (const operation of [copySchema, buildIndexes, analyzeTables, createDeferredTriggers]) {
    expect((await runOperation(operation, pair.context(name))).changed).toBe(false);
  }
  expect(await copySchema.undo!(pair.context(name))).toBe(false);
});

test('given up before the indexes: the journal goes, and nothing else of ours is there', async () => {
  const name = await databaseOn(pair, 'given up', 'create table t (a int primary key)');
  await runOperation(copySchema, pair.context(name));
  expect((await runOperation(dropRestoreJournal, pair.context(name))).changed).toBe(true);
  expect((await runOperation(dropRestoreJournal, pair.context(name))).changed).toBe(false);
  expect(await pair.query('target', name, `select from pg_namespace where nspname = 'pgconvoy'`)).toEqual([]);
  const never = pair.name('never made');
  expect((await runOperation(dropRestoreJournal, pair.context(never))).changed).toBe(false);
});

test('the maintenance database itself: the ledger in it stays', async () => {
  const name = pair.clusters.source.maintenanceDatabase;
  await pair.context(undefined).sourceLedger.record({ kind: 'test' }, {});
  await pair.query('source', name, 'create table public.kept (a int primary key); create index on public.kept (a)');
  await runOperation(createDatabase, pair.context(name));
  await proveContract(pair, copySchema, name);
  await everythingAfterTheCopy(pair, name);
  expect(await dump(pair, pair.target, name)).toEqual(await dump(pair, pair.source, name));
  expect(
    await pair.query(
      'target',
      name,
      `select relname from pg_class where relnamespace = 'pgconvoy'::regnamespace and relkind = 'r'`,
    ),
  ).toEqual([{ relname: 'ledger' }]);
  expect(await createDatabase.undo!(pair.context(name))).toBe(true);
  expect(await pair.query('target', name, `select from pg_class where relname = 'kept'`)).toEqual([]);
});

test('publications of others and comments on them stay on the source', async () => {
  const name = await databaseOn(
    pair,
    'published',
    `create table t (a int primary key); create publication theirs for table t; comment on publication theirs is 'theirs'`,
  );
  await runOperation(copySchema, pair.context(name));
  await everythingAfterTheCopy(pair, name);
  expect(await pair.query('target', name, 'select from pg_publication')).toEqual([]);
});

describe('what is said about nothing but', () => {
  const commentOnPublic = (name: string) =>
    pair.query('target', name, `select obj_description('public'::regnamespace, 'pg_namespace') as comment`);

  test.each([
    ['the schema public', `comment on schema public is 'ours'`, 'ours'],
    ['the schema public, and that is nothing', `comment on schema public is null`, null],
  ])('%s', async (what, statement, comment) => {
    const name = await databaseOn(pair, what, statement);
    await runOperation(copySchema, pair.context(name));
    expect(await commentOnPublic(name)).toEqual([{ comment }]);
  });

  test('a table', async () => {
    const name = await databaseOn(
      pair,
      'a column',
      `create table t (a int primary key); comment on column t.a is 'ours'`,
    );
    await runOperation(copySchema, pair.context(name));
    expect(await commentOnPublic(name)).toEqual([{ comment: 'standard public schema' }]);
    expect(await pair.query('target', name, `select col_description('t'::regclass, 1) as comment`)).toEqual([
      { comment: 'ours' },
    ]);
  });

  test('a table, by a label: it is not lost without a word where the target has no such provider', async () => {
    const name = await databaseOn(pair, 'labelled', 'create table t (a int primary key)');
    // No provider of labels comes with the server, and only one can give them.
    await pair.query(
      'source',
      name,
      `set allow_system_table_mods = on;
       insert into pg_seclabel values ('t'::regclass, 'pg_class'::regclass, 0, 'selinux', 'secret')`,
    );
    const error = await runOperation(copySchema, pair.context(name)).catch((thrown: unknown) => thrown);
    expect((error as PgconvoyError).message).toMatch(/security label provider "selinux" is not loaded/);
  });
});

test('from 10 to 18', async () => {
  await using old = await TestPair.open({ source: 10, target: 18 });
  const name = await databaseOn(old, 'From "ten"', richSchema);
  await old.query(
    'source',
    name,
    `revoke all on table keyless from public; create role ${id(old.clusters.settings.replication.role).text}`,
  );
  await old.query(
    'source',
    name,
    `grant select on table keyless to ${id(old.clusters.settings.replication.role).text}`,
  );
  await proveContract(old, copySchema, name);
  await everythingAfterTheCopy(old, name);
  await old.query(
    'source',
    name,
    `revoke select on table keyless from ${id(old.clusters.settings.replication.role).text}`,
  );
  expect(await dump(old, old.target, name)).toEqual(await dump(old, old.source, name));
});
