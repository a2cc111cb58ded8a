import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { createPublication } from '../../../src/operations/replication/create-publication.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair, onServer } from '../../helpers/pair.ts';

const published = `select schemaname || '.' || tablename as name from pg_publication_tables where pubname = 'pgconvoy' order by 1`;

describe.each([10, 15] as const)('on PostgreSQL %i', (major) => {
  let pair: TestPair;
  beforeAll(async () => {
    pair = await TestPair.open({ source: major, settings: { deadlines: { lockTimeout: '200ms' } } });
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  test('publishes tables that carry rows, whatever their names, and no others', async () => {
    const database = await pair.database(
      'My "odd" DB, 100%',
      `create schema "Sales Dept";
       create table "Sales Dept"."Order Items" ("select" int primary key);
       create table public.parent (id int primary key);
       create table public.child (primary key (id)) inherits (public.parent);
       create table public.parted (id int not null, at date not null) partition by range (at);
       create table public."parted, 2026" partition of public.parted for values from ('2026-01-01') to ('2027-01-01');
       alter table public."parted, 2026" replica identity full;
       create unlogged table public.cache (id int primary key);
       create materialized view public.summary as select 1 as one;`,
    );
    const { output } = await proveContract(pair, createPublication, database);
    expect(output).toEqual({ tables: 4 });
    const names = (await pair.query('source', database, published)).map((row) => row['name']);
    expect(names).toEqual(['Sales Dept.Order Items', 'public.child', 'public.parent', 'public.parted, 2026']);
  });

  test('a database without tables gets an empty publication', async () => {
    const database = await pair.database('empty');
    const { output } = await proveContract(pair, createPublication, database);
    expect(output).toEqual({ tables: 0 });
  });

  test('follows what was added and removed since', async () => {
    const database = await pair.database('changing', 'create table old (id int primary key)');
    await runOperation(createPublication, pair.context(database));
    await pair.query('source', database, 'create table new (id int primary key); drop table old');
    const verdict = await createPublication.check(pair.context(database));
    expect(verdict.holds).toBe(false);
    const { changed, output } = await runOperation(createPublication, pair.context(database));
    expect({ changed, output }).toEqual({ changed: true, output: { tables: 1 } });
    expect(await pair.query('source', database, published)).toEqual([{ name: 'public.new' }]);
  });

  test('refuses to break the application: a table without replica identity is named', async () => {
    const database = await pair.database('keyless', 'create table "No Key" (id int)');
    await expect(runOperation(createPublication, pair.context(database))).rejects.toMatchObject({
      message: expect.stringContaining('"public"."No Key"'),
      hint: expect.stringContaining('pgconvoy fix'),
      disposition: 'give-up',
    });
    expect(await pair.query('source', database, 'select 1 from pg_publication')).toEqual([]);
  });

  test('waits for nobody longer than lock_timeout, and names who holds the lock', async () => {
    const database = await pair.database('locked', 'create table busy (id int primary key)');
    const holder = new pg.Client({ ...pair.clusters.source.address, database, application_name: 'nightly job' });
    await holder.connect();
    try {
      await holder.query('begin; lock table busy in share update exclusive mode');
      await expect(runOperation(createPublication, pair.context(database))).rejects.toMatchObject({
        message: expect.stringMatching(
          /pid \d+ \(user "postgres", nightly job.*\) holds ShareUpdateExclusiveLock on public\.busy/,
        ),
        disposition: 'wait',
      });
    } finally {
      await holder.end();
    }
    expect((await runOperation(createPublication, pair.context(database))).changed).toBe(true);
  });

  test('killed in the middle, it converges', async () => {
    const tables = Array.from({ length: 100 }, (_, n) => `create table t${n} (id int primary key);`).join('');
    const database = await pair.database('killed', tables);
    const { output } = await proveKilledAndRunAgain(pair, createPublication, database, [1, 5, 10, 20]);
    expect(output).toEqual({ tables: 100 });
    expect(await onServer(pair.source, database, 'select count(*)::int as n from pg_publication_rel')).toEqual([
      { n: 100 },
    ]);
  });
});
