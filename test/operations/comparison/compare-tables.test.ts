import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import type { OperationResult } from '../../../src/engine/run-operation.ts';
import { compareTables } from '../../../src/operations/comparison/compare-tables.ts';
import type { ComparisonOutput } from '../../../src/operations/comparison/differences.ts';
import { TestPair } from '../../helpers/pair.ts';

/** Types whose text depends on settings, majors or the way of a value into the table. */
const SCHEMA = `
  create type mood as enum ('sad', 'o''k');
  create type pair as (a float8, b text);
  create domain short as varchar(20) check (value <> 'no');
  create table "Order Items" ("select" int primary key, note text, amount numeric(12, 2), price float8, weight real, at timestamptz, span interval, raw bytea, tags text[], doc jsonb);
  create table kinds (id bigint generated always as identity primary key, day date, clock timetz, js json, jb jsonb, m mood, p pair, s short, floats float8[], spot point,
                      cash money, net inet, bits varbit, u uuid, x xml, r int4range, c "char", big numeric, fixed char(5), l regclass);
  create table keyless (a int, b text);
  create table empty ();
  create unlogged table cache (id int);
  create table parted (id int, region text) partition by list (region);
  create table "parted, north" partition of parted for values in ('north');`;
const ROWS = `
  insert into "Order Items"
    select n, case when n % 7 = 0 then null else 'ü, "quoted" ' || n end, n / 3.0, n / 7.0::float8, n / 9.0::real, timestamptz '2026-01-01 00:00+05' + n * interval '1 hour',
           n * interval '1 day 3 hours', decode(md5(n::text), 'hex'), array['a', 'b,' || n], jsonb_build_object('n', n, 'f', 1.10)
      from generate_series(1, 1000) n;
  insert into kinds (day, clock, js, jb, m, p, s, floats, spot, cash, net, bits, u, x, r, c, big, fixed, l) values
    ('0044-03-15 BC', '12:00+03', '{"b" : 1,  "a":1.0}', '{"b":1,"a":1.0}', 'o''k', row(0.1, 'x,"y'), 'yes', '{1.5,NaN,Infinity,NULL}', '(0.5,-2)', '12.34', '10.0.0.1/8', b'101',
     '00000000-0000-0000-0000-00000000000a', '<a>ü</a>', '[1,5)', 'x', 'NaN', 'ab', 'pg_class'),
    ('infinity', '00:00+00', 'null', 'null', 'sad', null, null, '{}', '(0,0)', '-1', '::1', b'', null, null, 'empty', '', 1e-20, '', null);
  insert into keyless values (1, 'x'), (1, 'x'), (2, null);
  insert into parted values (1, 'north');
  create table numbers (d float8, r real);
  insert into numbers values ('NaN', 'NaN'), ('-0', '-0'), ('infinity', '-infinity'), (0.1, 0.1), (1e-310, 1e-40), (0.1 + 0.2::float8, 16777217);`;

const messages = (findings: OperationResult['findings']) => findings.map(({ message }) => message);

describe.each([
  { source: 10, target: 18 },
  { source: 13, target: 17 },
  { source: 15, target: 18 },
] as const)('from $source to $target', ({ source, target }) => {
  let pair: TestPair;
  beforeAll(async () => {
    pair = await TestPair.open({ source, target });
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  test('the same rows are the same, in whatever order, with whatever settings', async () => {
    const database = await pair.database('My "odd" DB', SCHEMA, ['source', 'target']);
    await pair.query(
      'source',
      database,
      `alter database "${database.replaceAll('"', '""')}" set timezone = 'Asia/Tokyo'; alter database "${database.replaceAll('"', '""')}" set intervalstyle = 'iso_8601';
       alter database "${database.replaceAll('"', '""')}" set bytea_output = 'escape'; alter database "${database.replaceAll('"', '""')}" set extra_float_digits = -2;`,
    );
    await pair.query(
      'source',
      database,
      `set timezone = 'UTC'; ${ROWS} create table turned (a int, b text); insert into turned values (1, $$x$$)`,
    );
    await pair.query(
      'target',
      database,
      `set timezone = 'UTC'; ${ROWS} create table turned (b text, a int); insert into turned values ($$x$$, 1)`,
    );
    // Another NaN than the one that text gives.
    await pair.query(
      'target',
      database,
      `update "Order Items" set note = note where "select" < 500; insert into cache values (1);
       update numbers set d = -d where d = 'NaN'`,
    );
    const { output, changed, findings } = await runOperation(compareTables, pair.context(database));
    expect(messages(findings)).toEqual([]);
    expect(changed).toBe(false);
    expect(output).toMatchObject({ method: 'checksum', tables: 7, rows: 1013, differing: 0, left: 0 });
    expect(output).toMatchObject({ checksum: source === 10 ? 'md5' : 'hash' });
    const sum = expect.stringMatching(/^-?\d+$/);
    expect((output as ComparisonOutput).listed).toEqual(
      expect.arrayContaining([
        { table: '"public"."Order Items"', rows: 1000, sum },
        { table: '"public"."empty"', rows: 0, sum: null },
        { table: '"public"."keyless"', rows: 3, sum },
        { table: '"public"."parted, north"', rows: 1, sum },
        { table: '"public"."turned"', rows: 1, sum },
      ]),
    );
  });

  test('each difference is found, down to the row', async () => {
    const database = await pair.database('differing', SCHEMA, ['source', 'target']);
    for (const side of ['source', 'target'] as const) await pair.query(side, database, ROWS);
    await pair.query(
      'target',
      database,
      `update "Order Items" set price = price + 1e-14 where "select" = 500;
       update "Order Items" set weight = weight * 1.0000002 where "select" = 501;
       delete from "Order Items" where "select" = 7;
       insert into "Order Items" ("select") values (5000);
       update kinds set floats = '{1.5}' where id = 1;
       delete from keyless where ctid = (select min(ctid) from keyless);
       update "parted, north" set id = null`,
    );
    const { findings, output } = await runOperation(compareTables, pair.context(database));
    expect(findings.every(({ code, severity }) => code === 'rows-differ' && severity === 'block')).toBe(true);
    expect(messages(findings).toSorted()).toEqual([
      'table "public"."Order Items" is not the same on both sides: 2 rows with other contents ("select" = 500, "select" = 501); 1 row only on the source ("select" = 7); 1 row only on the target ("select" = 5000)',
      expect.stringMatching(/^table "public"."keyless" .*: 1 row only on the source \(ctid .*\)$/),
      'table "public"."kinds" is not the same on both sides: 1 row with other contents ("id" = 1)',
      expect.stringMatching(
        /^table "public"."parted, north" .*: 1 row only on the source \(ctid .*\); 1 row only on the target \(ctid .*\)$/,
      ),
    ]);
    expect(findings[0]!.remedy).toContain('pgconvoy resync');
    expect(output).toMatchObject({ differing: 4 });
    // On the way back it is the new cluster that is left: each side keeps its name.
    const back = await runOperation(compareTables, pair.context(database, { reversed: true }));
    expect(messages(back.findings)).toContain(messages(findings).find((message) => message.includes('"Order Items"')));
    expect(back.findings[0]).toMatchObject({
      side: 'source',
      remedy: expect.stringMatching(/^Find out who changed the source .* its target back\.$/),
    });
    expect((back.output as ComparisonOutput).differences.flatMap(({ rows }) => rows)).toEqual(
      expect.arrayContaining([
        { on: 'source', row: '"select" = 7' },
        { on: 'target', row: '"select" = 5000' },
      ]),
    );
    // The step itself fails where the workflow says so.
    await expect(runOperation(compareTables, pair.context(database), { findings: 'block' })).rejects.toMatchObject({
      name: 'BlockedByFindings',
      disposition: 'give-up',
    });
  });
});

describe('from 15 to 18', () => {
  test('counts alone do not see changed contents, and no comparison sees nothing', async () => {
    await using counting = await TestPair.open({ settings: { comparison: { mode: 'count' } } });
    const database = await counting.database('counted', SCHEMA, ['source', 'target']);
    await counting.query('source', database, ROWS);
    await counting.query('target', database, `${ROWS} delete from "Order Items" where "select" in (3, 4)`);
    const { findings } = await runOperation(compareTables, counting.context(database));
    expect(messages(findings)).toEqual([
      'table "public"."Order Items" is not the same on both sides: 2 rows only on the source ("select" = 3, "select" = 4)',
    ]);
    await counting.query('source', database, `delete from "Order Items" where "select" in (3, 4)`);
    await counting.query('target', database, `update keyless set b = 'other'`);
    const counted = (await runOperation(compareTables, counting.context(database))).output;
    expect(counted).toMatchObject({ method: 'count', checksum: 'none', tables: 6, rows: 1010 });
    expect((counted as ComparisonOutput).listed).toContainEqual({ table: '"public"."keyless"', rows: 3, sum: null });

    await using blind = await TestPair.open({ settings: { comparison: { mode: 'none' } } });
    const other = await blind.database('blind', 'create table t (id int)');
    expect((await runOperation(compareTables, blind.context(other))).output).toMatchObject({
      method: 'none',
      tables: 0,
    });
  });

  test('what the target lacks is a difference, not an error of SQL', async () => {
    await using pair = await TestPair.open();
    const database = await pair.database('lacking', 'create table t (id int); create table gone (id int)', [
      'source',
      'target',
    ]);
    await pair.query('source', database, 'alter table t add "new one" int');
    await pair.query('target', database, 'drop table gone; create table made (id int)');
    const { findings } = await runOperation(compareTables, pair.context(database));
    expect(messages(findings)).toEqual([
      'table "public"."gone" is not the same on both sides: the target lacks it',
      'table "public"."t" is not the same on both sides: the target lacks column new one',
    ]);
    const back = await runOperation(compareTables, pair.context(database, { reversed: true }));
    expect(messages(back.findings)).toEqual([
      'table "public"."made" is not the same on both sides: the source lacks it',
    ]);
  });

  test('hundreds of tables, killed in the middle and looked at again; and one whose encoding is another', async () => {
    await using pair = await TestPair.open();
    const many = Array.from(
      { length: 300 },
      (_, n) => `create table t${n} as select n from generate_series(1, ${n}) n;`,
    ).join('');
    const database = await pair.database('many', many, ['source', 'target']);
    for (const delay of [5, 30]) {
      const controller = new AbortController();
      setTimeout(() => controller.abort(new Error('killed by the test')), delay);
      await expect(runOperation(compareTables, pair.context(database, { signal: controller.signal }))).rejects.toThrow(
        'killed by the test',
      );
    }
    expect((await runOperation(compareTables, pair.context(database))).output).toMatchObject({
      method: 'checksum',
      tables: 300,
      rows: (299 * 300) / 2,
    });

    const latin = pair.name('latin');
    pair.expectDatabase(latin);
    const create = (encoding: string) =>
      `create database "${latin}" template template0 encoding '${encoding}' lc_collate 'C' lc_ctype 'C'`;
    await pair.query('source', 'postgres', create('LATIN1'));
    await pair.query('target', 'postgres', create('UTF8'));
    for (const side of ['source', 'target'] as const)
      await pair.query(side, latin, "create table t (id int primary key, a text); insert into t values (1, 'é')");
    const recoded = await runOperation(compareTables, pair.context(latin));
    expect([recoded.findings, recoded.output]).toMatchObject([[], { checksum: 'md5', tables: 1, rows: 1 }]);
  });
});
