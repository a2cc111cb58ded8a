import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { copyExtensionRows } from '../../../src/operations/unreplicated/copy-extension-rows.ts';
import { id } from '../../../src/postgres/sql.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';

/**
 * What CREATE EXTENSION leaves in the catalogs when its script has tables whose rows are the users' (pg_extension_config_dump): the
 * servers here have no such extension, and share their folder of extensions with others.
 */
const EXTENSION = `
  create extension unaccent;
  create schema "odd, schema";
  create sequence job_id;
  create table job (id int primary key default nextval('job_id'), "select" text, every float8, twice float8 generated always as (every * 2) stored);
  create table "odd, schema"."Systems 100%" (id int primary key, text text, ours boolean not null default false);
  insert into "odd, schema"."Systems 100%" values (1, 'of the extension', true), (2, 'of the extension too', true);
  create function fired() returns trigger language plpgsql as 'begin raise exception ''fired''; end';
  alter extension unaccent add sequence job_id; alter extension unaccent add table job;
  alter extension unaccent add table "odd, schema"."Systems 100%"; alter extension unaccent add schema "odd, schema";
  update pg_extension set extconfig = array['job_id'::regclass, 'job'::regclass, '"odd, schema"."Systems 100%"'::regclass]::oid[],
                          extcondition = array['', '', 'WHERE NOT ours'] where extname = 'unaccent';`;
const ROWS = `
  insert into job ("select", every) select 'ü, "' || n, n / 7.0::float8 from generate_series(1, 20) n;
  insert into "odd, schema"."Systems 100%" values (900, 'of a user');`;

let pair: TestPair;
let database: string;
beforeAll(async () => {
  pair = await TestPair.open();
  database = await pair.database('My "odd" DB', EXTENSION, ['source', 'target']);
  await pair.query('source', database, ROWS);
  await pair.query(
    'target',
    database,
    `create trigger fired before insert or delete on job for each row execute function fired()`,
  );
});
afterAll(() => pair[Symbol.asyncDispose]());

const ALL = `
  select (select json_agg(j order by id)::text from job j) as jobs, (select json_agg(s order by id)::text from "odd, schema"."Systems 100%" s) as systems,
         (select last_value || ' ' || is_called from job_id) as value`;
const equal = async () =>
  expect(await pair.query('target', database, ALL)).toEqual(await pair.query('source', database, ALL));

test('keeps the contract: rows of users and states of sequences, those of the extension stay; nothing fires', async () => {
  const { output } = await proveContract(pair, copyExtensionRows, database);
  expect(output).toEqual({ extensionTables: 3, extensionRows: 21 });
  await equal();
});

test('they are exactly the rows that pg_dump takes along', async () => {
  const rows = async (side: 'source' | 'target') => {
    const { bin, host, port, user, password } = pair[side];
    const program = join(side === 'source' ? bin : pair.target.bin, 'pg_dump');
    const options = ['-h', host, '-p', String(port), '-U', user, '--data-only', '--extension=unaccent', database];
    const { stdout } = await promisify(execFile)(program, options, {
      env: { PATH: process.env['PATH'], LANG: 'C.UTF-8', PGPASSWORD: password },
    });
    return stdout.split('\n').filter((line) => line !== '' && !/^(--|\\restrict|\\unrestrict|SET )/.test(line));
  };
  const dumped = await rows('source');
  expect(dumped.some((line) => line.includes('of a user'))).toBe(true);
  expect(await rows('target')).toEqual(dumped);
});

test('changed since, and killed in the middle', async () => {
  await pair.query(
    'source',
    database,
    `update job set every = 0.1 where id = 3; delete from job where id = 4; select setval('job_id', 5000);
     delete from "odd, schema"."Systems 100%" where id = 900`,
  );
  await proveKilledAndRunAgain(pair, copyExtensionRows, database, [5, 10, 20]);
  await equal();
});

test('names and values that are not ASCII, in a database whose encoding is not UTF8', async () => {
  const latin = pair.name('latin');
  pair.expectDatabase(latin);
  const create = `create database ${id(latin).text} template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'`;
  for (const side of ['source', 'target'] as const) {
    await pair.query(side, 'postgres', create);
    await pair.query(
      side,
      latin,
      `create extension hstore; create table "Größe" ("für" text); alter extension hstore add table "Größe";
       update pg_extension set extconfig = array['"Größe"'::regclass]::oid[], extcondition = array[''] where extname = 'hstore'`,
    );
  }
  await pair.query('source', latin, `insert into "Größe" values ('Äpfel')`);
  await runOperation(copyExtensionRows, pair.context(latin));
  expect(await pair.query('target', latin, 'select "für" from "Größe"')).toEqual([{ für: 'Äpfel' }]);
});

test('blocked or left, as the configuration says', async () => {
  await using other = await TestPair.open({ settings: { notReplicated: { extensionRows: 'block' } } });
  const blocked = await other.database('blocked', EXTENSION + ROWS, ['source']);
  await expect(copyExtensionRows.check(other.context(blocked))).rejects.toThrow(/holds rows in tables of extensions/);
});

test('a target whose extension has no such table is named', async () => {
  const lacking = await pair.database('lacking', EXTENSION + ROWS);
  await pair.database('lacking', '', ['target']).catch(() => {});
  await expect(runOperation(copyExtensionRows, pair.context(lacking))).rejects.toThrow(
    /the extension "unaccent" has no table "odd, schema"."Systems 100%" there|has no table "public"."job" there/,
  );
});
