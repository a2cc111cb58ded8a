import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
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
import type { ClusterInfo } from '../../helpers/servers.ts';
import { eventually } from '../../helpers/wait.ts';
import { richSchema, richSchema12 } from './rich-schema.ts';

let pair: TestPair;
beforeAll(async () => {
  pair = await TestPair.open();
});
afterAll(() => pair[Symbol.asyncDispose]());

const run = promisify(execFile);

/** A database of the source, and an empty one of that name on the target. */
async function databaseOn(both: TestPair, base: string, statements: string): Promise<string> {
  const name = await both.database(base, statements);
  await runOperation(createDatabase, both.context(name));
  return name;
}

/** The schema as the newest pg_dump shows it, but for what differs in every dump. */
async function dump(both: TestPair, info: ClusterInfo, database: string): Promise<string[]> {
  const { bin } = await both.clusters.programs.version();
  const { stdout } = await run(join(bin, 'pg_dump'), ['--schema-only', '--exclude-schema=pgconvoy'], {
    env: {
      PGHOST: info.host,
      PGPORT: String(info.port),
      PGUSER: info.user,
      PGPASSWORD: info.password,
      PGDATABASE: database,
    },
    maxBuffer: 1e8,
  });
  return (
    stdout
      .split('\n')
      .filter((line) => !/^(--|\\|SET default_table|$)|pg_attver/.test(line))
      // Majors differ in whether a view names the only table it reads, in words, and in what a range brings along.
      .filter((line) => !line.includes('multirange_type_name'))
      .map((line) => line.replaceAll(/\b(child|parted)\.|,$/g, '').replace('EXECUTE PROCEDURE', 'EXECUTE FUNCTION'))
      .toSorted()
  );
}

async function everythingAfterTheCopy(both: TestPair, name: string): Promise<void> {
  await runOperation(buildIndexes, both.context(name));
  await runOperation(createDeferredTriggers, both.context(name));
}

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

  test('rows that break a constraint are named with it, and the other indexes are built', async () => {
    const name = await databaseOn(
      pair,
      'broken rows',
      `create table public.t (a int, b int); create unique index one on public.t (a); create index two on public.t (b);
       create table public.u (b int primary key); alter table public.t add foreign key (b) references public.u`,
    );
    await runOperation(copySchema, pair.context(name));
    await pair.query('target', name, `insert into public.t values (1, 1), (1, 1); insert into public.u values (1)`);
    const error = (await runOperation(buildIndexes, pair.context(name)).catch(
      (thrown: unknown) => thrown,
    )) as PgconvoyError;
    expect(error.message).toMatch(
      /1 of \d+ objects could not be made:\n {2}INDEX public.one: could not create unique index "one"/,
    );
    const constraints = await pair.query(
      'target',
      name,
      `select conname from pg_constraint where conname = 't_b_fkey'`,
    );
    expect(constraints).toHaveLength(1);
    await pair.query('target', name, `delete from public.t where ctid = '(0,2)'`);
    expect((await runOperation(buildIndexes, pair.context(name))).changed).toBe(true);
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

test('a table that an apply worker holds is waited for, without ever holding up the worker', async () => {
  const name = await databaseOn(
    pair,
    'deadlock',
    'create table b (id int primary key); create table a (id int primary key, b int references b)',
  );
  await runOperation(copySchema, pair.context(name));
  const applier = new pg.Client({ ...pair.target, database: name });
  await applier.connect();
  await applier.query('begin; insert into b values (1)');
  // What the builder holds meanwhile is given back soon enough that the worker never runs into its own deadlock check.
  await applier.query(`set deadlock_timeout = '1s'`);
  const building = runOperation(buildIndexes, pair.context(name));
  await eventually(async () => {
    const waits = `select from pg_locks where not granted and database = (select oid from pg_database where datname = '${name}')`;
    expect(await pair.query('target', 'postgres', waits)).not.toEqual([]);
  });
  // The builder has a and wants b, the worker has b and wants a.
  await applier.query('insert into a values (1, 1); commit');
  expect((await building).changed).toBe(true);
  await applier.end();
  expect(await pair.query('target', name, `select conname from pg_constraint where contype = 'f'`)).toHaveLength(1);
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
  await pair.query('target', name, 'drop table t');
  for (const operation of [copySchema, buildIndexes, createDeferredTriggers]) {
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

test('many tables', async () => {
  const name = await databaseOn(
    pair,
    'many',
    `do $$ begin for i in 1..300 loop
       execute format('create table public.t%s (id int primary key, a text, b int references public.t%s)', i, greatest(i - 1, 1));
       execute format('create index on public.t%s (a)', i); end loop; end $$`,
  );
  await runOperation(copySchema, pair.context(name));
  await everythingAfterTheCopy(pair, name);
  expect(await dump(pair, pair.target, name)).toEqual(await dump(pair, pair.source, name));
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
