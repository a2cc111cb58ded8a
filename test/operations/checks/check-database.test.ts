import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Finding } from '../../../src/engine/finding.ts';
import type { Point } from '../../../src/engine/point.ts';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { checkDatabase } from '../../../src/operations/checks/check-database.ts';
import { setReplicaIdentity } from '../../../src/operations/tables/set-replica-identity.ts';
import { locale } from '../../../src/operations/checks/database/locale.ts';
import { createLogger } from '../../../src/log.ts';
import { Cluster } from '../../../src/postgres/cluster.ts';
import { id, lit } from '../../../src/postgres/sql.ts';
import { openContext } from '../../../src/runtime/context.ts';
import { TestPair } from '../../helpers/pair.ts';

let pair: TestPair;
beforeAll(async () => {
  pair = await TestPair.open();
});
afterAll(async () => {
  await pair[Symbol.asyncDispose]();
});

async function findings(of: TestPair, database: string, input = {}): Promise<readonly Finding[]> {
  return (await runOperation(checkDatabase, of.context(database, { input }))).findings;
}

const jobOf = (database: string) => ({
  applicationName: 'pgconvoy/test',
  database,
  input: {},
  run: { id: 'test', databases: [database], options: {} },
  signal: new AbortController().signal,
  log: createLogger('silent'),
  progress: () => {},
});

const brief = (found: readonly Finding[]) =>
  found.map(
    ({ code, severity, side, object }) => `${severity} ${code} ${side}${object === undefined ? '' : ` ${object}`}`,
  );

test('a database that nothing is wrong with', async () => {
  const database = await pair.database(
    'animals',
    `create table animal (id int generated always as identity primary key, name text check (length(name) > 1),
       loud text generated always as (upper(name)) stored);
     create table keyless (a int, b text[]);
     alter table keyless replica identity full;
     create extension hstore;
     create table member (a int);
     alter extension hstore add table member;
     create schema pglogical_origin;
     create table pglogical_origin.replication_origin (roident oid, roname text);`,
  );
  const { changed, output, findings: found } = await runOperation(checkDatabase, pair.context(database));
  expect({ changed, found }).toEqual({ changed: false, found: [] });
  const { points } = output as { points: Point[] };
  expect(points.map(({ ok }) => ok)).toEqual(Array(11).fill(true));
  expect(points).toContainEqual({
    id: 'replica-identities',
    title: 'replica identities',
    side: 'source',
    database,
    ok: true,
    findings: [],
  });
});

test('readers that shall stay behind the fence are told what they could write, members of groups too', async () => {
  const [group, member] = [pair.name('readers'), pair.name('Who "writes"')];
  const database = await pair.database(
    'read by others',
    `create table t (id int primary key);
     revoke create on schema public from public;
     create role ${id(group).text}; create role ${id(member).text} login;
     grant ${id(group).text} to ${id(member).text}; grant select on t to ${id(group).text}`,
  );
  const found = async (fence: 'closed' | 'read-only') => {
    const context = pair.context(database);
    const { cutover } = context.settings;
    const settings = { ...context.settings, cutover: { ...cutover, fence, readers: [group] } };
    return (await runOperation(checkDatabase, { ...context, settings })).findings;
  };
  expect(await found('read-only')).toEqual([]);
  await pair.query('source', database, `grant insert on t to ${id(member).text}`);
  const [finding, ...others] = await found('read-only');
  expect(others).toEqual([]);
  expect(finding).toMatchObject({ code: 'reader-writes', severity: 'warning', object: member });
  expect(finding?.message).toContain('INSERT on public.t');
  expect(await found('closed')).toEqual([]);
});

test('everything at once, each object by name', async () => {
  const database = await pair.database(
    'My "odd" DB',
    `create schema "Shop, 100%";
     create table "Shop, 100%"."Order Items" ("select" int not null unique);
     create table fish (name text);
     create table documents (body json);
     create table points (at point);
     alter table points replica identity full;
     create unlogged table cache (a int primary key);
     select lo_create(0);

     create extension postgres_fdw;
     create server "old ""one""" foreign data wrapper postgres_fdw options (host 'old.example');
     create user mapping for public server "old ""one""" options (password 'hidden');
     create foreign table far (a int) server "old ""one""";

     create table log (a int primary key);
     create function note() returns trigger language plpgsql as 'begin insert into log values (1); return new; end';
     create trigger "always noted" after insert on log for each row when (false) execute function note();
     alter table log enable always trigger "always noted";
     create function safe(int) returns int language sql immutable set search_path = public as 'select $1';
     create function bound(int) returns int language sql immutable begin atomic select $1; end;
     create function loose(int) returns int language sql immutable as 'select $1';
     create table t (a int primary key check (loose(a) > 0), b int check (safe(b) > 0 and bound(b) > 0));
     create index on t (loose(a));
     create function on_ddl() returns event_trigger language plpgsql as 'begin end';
     create event trigger watcher on ddl_command_end execute function on_ddl();

     alter table t add constraint "b small" check (b < 10) not valid;
     create index broken on t (b);
     update pg_index set indisvalid = false where indexrelid = 'broken'::regclass;

     create schema pgconvoy;
     create table pgconvoy.theirs (a int primary key);
     create publication "for others" for table t;
     create extension adminpack schema pg_catalog;
     create extension pg_trgm version '1.3';
     create extension unaccent;
     create table settings_of_unaccent (a int primary key);
     alter extension unaccent add table settings_of_unaccent;
     insert into settings_of_unaccent values (1);
     update pg_extension set extconfig = array['settings_of_unaccent'::regclass::oid], extcondition = array['where a = 1']
      where extname = 'unaccent';`,
  );
  await pair.query('source', database, `alter database ${id(database).text} set force_parallel_mode = off`);
  const found = await findings(pair, database);
  expect(JSON.stringify(found)).not.toContain('hidden');
  expect(brief(found)).toMatchInlineSnapshot(`
    [
      "block extension-missing target adminpack",
      "block no-replica-identity source Shop, 100%.Order Items",
      "block no-replica-identity source public.documents",
      "block no-replica-identity source public.fish",
      "block identity-without-equality source public.points",
      "warning invalid-index source public.broken",
      "warning not-valid-constraint source public.t."b small"",
      "warning unlogged-table source public.cache",
      "warning large-objects source",
      "warning foreign-server source old "one"",
      "warning extension-config-data source public.settings_of_unaccent",
      "warning always-trigger source public.log."always noted"",
      "warning event-trigger source watcher",
      "warning function-without-search-path source public.loose(integer)",
      "warning function-without-search-path source public.note()",
      "block reserved-schema source pgconvoy",
      "warning setting-unknown target force_parallel_mode",
      "warning source-publication source for others",
    ]
  `);
});

test('what is refused hides nothing else: then each question is asked alone', async () => {
  const database = await pair.database(
    'partly closed',
    'create table fish (name text); revoke select on pg_catalog.pg_event_trigger from public',
  );
  const user = pair.name('limited');
  await pair.query('source', 'postgres', `create role ${id(user).text} login password 'x'`);
  await pair.query('source', database, `grant usage on schema public to ${id(user).text}`);
  const { source } = pair.clusters;
  const limited = new Cluster('source', { ...source.address, user, password: 'x' }, source.maintenanceDatabase);
  const { context, close } = openContext(
    { ...pair.clusters, source: limited },
    { ...jobOf(database), engine: pair.engine },
  );
  const found = brief((await runOperation(checkDatabase, context)).findings);
  await close();
  await limited.close();
  expect(found).toContain('block cannot-look source triggers and functions');
  expect(found).toContain('block no-replica-identity source public.fish');
});

test('what fix can mend, fix mends', async () => {
  const database = await pair.database(
    'mended',
    'create table fish (name text); create table keyed (a int not null unique, b json); create table bare (b json)',
  );
  expect(brief(await findings(pair, database))).toEqual([
    'block no-replica-identity source public.bare',
    'block no-replica-identity source public.fish',
    'block no-replica-identity source public.keyed',
  ]);
  // Where fix comes behind it, what is left is what fix cannot choose.
  expect(brief(await findings(pair, database, { fixFollows: true }))).toEqual([
    'block no-replica-identity source public.bare',
  ]);
  await pair.query('source', database, 'drop table bare');
  expect(await findings(pair, database, { fixFollows: true })).toEqual([]);
  await runOperation(setReplicaIdentity, pair.context(database));
  expect(await findings(pair, database)).toEqual([]);
});

describe('a database of that name on the target', () => {
  test('that holds something blocks; its objects are named', async () => {
    const database = await pair.database('taken', 'create table mine (a int primary key)', ['source', 'target']);
    const [finding, ...rest] = await findings(pair, database);
    expect(rest).toEqual([]);
    expect(finding).toMatchObject({ code: 'target-database-not-empty', severity: 'block', side: 'target', database });
    expect(finding?.message).toContain('public.mine');
    expect(finding?.remedy).toContain(`DROP DATABASE ${id(database).text}`);
  });

  test('that is empty is taken', async () => {
    const database = await pair.database('empty', '', ['source', 'target']);
    expect(await findings(pair, database)).toEqual([]);
  });

  test('that is empty but of another encoding blocks', async () => {
    const database = await pair.database('latin', '');
    await pair.query(
      'target',
      'postgres',
      `create database ${id(database).text} template template0 encoding 'LATIN1' locale 'C'`,
    );
    expect(brief(await findings(pair, database))).toEqual(['block target-database-differs target']);
  });

  test('that is of our making may hold what it likes', async () => {
    const database = await pair.database('ours', 'create table t (a int primary key)', ['source', 'target']);
    await pair.context(database).targetLedger.record({ kind: 'database', database }, {});
    expect(await findings(pair, database)).toEqual([]);
  });
});

test('a locale that the target does not have', async () => {
  const database = await pair.database('far away', '');
  const context = pair.context(database);
  // A database of such a locale cannot be opened, so only this one thing is looked at.
  await pair.query(
    'source',
    'postgres',
    `update pg_database set datcollate = 'xx_YY.UTF-8' where datname = ${lit(database).text}`,
  );
  expect(await locale.look(context)).toMatchObject([
    { code: 'locale-missing', severity: 'block', object: 'xx_YY.UTF-8' },
  ]);
  // The rolled back attempt has left nothing, and the session works.
  expect(
    await pair.query(
      'target',
      context.targetCluster.maintenance.name,
      'select from pg_collation where collname ~ $$^pgconvoy$$',
    ),
  ).toEqual([]);
  await pair.query(
    'source',
    'postgres',
    `update pg_database set datcollate = 'C.UTF-8' where datname = ${lit(database).text}`,
  );
  expect(await locale.look(pair.context(database))).toMatchObject([{ code: 'collation-version', severity: 'warning' }]);
});

test('what only old servers have: 10 to 18', async () => {
  await using old = await TestPair.open({ source: 10, target: 18 });
  const database = await old.database(
    'old',
    `create table with_oids (a int primary key) with oids;
     create table times (a int primary key, "at" abstime, spans reltime[]);
     create table fish (name text);
     create unlogged table cache (a int primary key);
     create table keyed (a int not null unique, b json);
     create function loose(int) returns int language sql immutable as 'select $1';
     create table t (a int primary key check (loose(a) > 0));`,
  );
  expect(brief(await findings(old, database))).toEqual([
    'block no-replica-identity source public.fish',
    'block no-replica-identity source public.keyed',
    'block table-with-oids source public.with_oids',
    'block removed-type source public.times."at"',
    'block removed-type source public.times."spans"',
    'warning unlogged-table source public.cache',
    'warning function-without-search-path source public.loose(integer)',
  ]);
  expect((await runOperation(setReplicaIdentity, old.context(database))).output).toEqual({
    tables: 5,
    usingIndex: 1,
    full: 1,
    surrogateKeys: 0,
    skipped: 0,
  });
});
