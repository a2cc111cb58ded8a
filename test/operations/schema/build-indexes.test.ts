import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { PgconvoyError } from '../../../src/errors.ts';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { analyzeTables } from '../../../src/operations/schema/analyze-tables.ts';
import { buildIndexes } from '../../../src/operations/schema/build-indexes.ts';
import { copySchema } from '../../../src/operations/schema/copy-schema.ts';
import { proveContract } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';
import { eventually } from '../../helpers/wait.ts';
import { databaseOn, dump, everythingAfterTheCopy } from './schemas.ts';

let pair: TestPair;
beforeAll(async () => {
  pair = await TestPair.open();
});
afterAll(() => pair[Symbol.asyncDispose]());

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
  const constraints = await pair.query('target', name, `select conname from pg_constraint where conname = 't_b_fkey'`);
  expect(constraints).toHaveLength(1);
  await pair.query('target', name, `delete from public.t where ctid = '(0,2)'`);
  expect((await runOperation(buildIndexes, pair.context(name))).changed).toBe(true);
});

test('what is made late because it needs a key, and what needs that', async () => {
  const name = await databaseOn(
    pair,
    'late',
    `create table public.t (id int primary key, name text, at int); create index on public.t (at);
     create table public.u (t int references public.t);
     create materialized view public.totals as select id, name, count(*) as n from public.t group by id;
     create unique index totals_id on public.totals (id); comment on index public.totals_id is 'of a late view';
     create index on public.totals (name); create view public.names as select id, name from public.t group by id;
     grant select on public.totals, public.names to public; comment on view public.names is 'late';
     create function public.first_name(int) returns text language sql immutable
       begin atomic select name from public.t where id = $1 group by id; end;
     create index calls on public.u (public.first_name(t));
     create statistics public.s on id, at from public.t; alter table public.t enable row level security;
     create policy p on public.t using (at > 0)`,
  );
  await runOperation(copySchema, pair.context(name));
  await runOperation(buildIndexes, pair.context(name));
  // Majors differ in whether they name the table of a column.
  const plain = async (side: 'source' | 'target') =>
    [...(await dump(pair, pair[side], name))].map((line) => line.replaceAll(/\bt\.(?=id|name)/g, '')).toSorted();
  expect(await plain('target')).toEqual(await plain('source'));
});

test('large tables: the largest first, each index by itself, several at a time', async () => {
  const rows = (table: string, count: number) =>
    `insert into public.${table} select n, n % 100 + 1, repeat('x', 200) from generate_series(1, ${count}) n;`;
  const fill = rows('large', 50_000) + rows('larger', 60_000) + rows('small', 100);
  const name = await databaseOn(
    pair,
    'large',
    `create table public.small (id int primary key, ref int, pad text) with (autovacuum_enabled = off);
     create index on public.small (ref);
     create table public.large (id int primary key, ref int references public.small, pad text) with (autovacuum_enabled = off); create index on public.large (ref);
     create table public.larger (id int primary key, ref int references public.small, pad text) with (autovacuum_enabled = off);
     create index on public.larger (ref); create index on public.larger (ref, id); alter table public.larger add unique (id, ref);
     alter table public.large disable trigger all; alter table public.larger disable trigger all; ${fill}
     alter table public.large enable trigger all; alter table public.larger enable trigger all;`,
  );
  await runOperation(copySchema, pair.context(name));
  await pair.query('target', name, fill);
  const notes: string[] = [];
  const context = pair.context(name, { onProgress: ({ note }) => note !== undefined && notes.push(note) });
  await runOperation(buildIndexes, context);
  expect(notes[0]).toMatch(/public\.larger/);
  expect(notes.find((note) => note.startsWith('FK'))).toMatch(/larger/);
  expect(await dump(pair, pair.target, name)).toEqual(await dump(pair, pair.source, name));
  await proveContract(pair, analyzeTables, name);
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
