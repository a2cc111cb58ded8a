import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { compareTables } from '../../../src/operations/comparison/compare-tables.ts';
import { TestPair } from '../../helpers/pair.ts';

const SCHEMA = `
  create table "Order Items" ("select" int primary key, note text, amount numeric(12, 2), price float8, at timestamptz, span interval, raw bytea, tags text[], doc jsonb);
  create table keyless (a int, b text);
  create table empty ();
  create unlogged table cache (id int);
  create table parted (id int, region text) partition by list (region);
  create table "parted, north" partition of parted for values in ('north');`;
const ROWS = `
  insert into "Order Items"
    select n, case when n % 7 = 0 then null else 'ü, "quoted" ' || n end, n / 3.0, n / 7.0::float8, timestamptz '2026-01-01 00:00+05' + n * interval '1 hour',
           n * interval '1 day 3 hours', decode(md5(n::text), 'hex'), array['a', 'b,' || n], jsonb_build_object('n', n)
      from generate_series(1, 1000) n;
  insert into keyless values (1, 'x'), (1, 'x'), (2, null);
  insert into parted values (1, 'north');`;

describe.each([
  { source: 10, target: 18 },
  { source: 13, target: 17 },
] as const)('from $source to $target', ({ source, target }) => {
  let pair: TestPair;
  beforeAll(async () => {
    pair = await TestPair.open({ source, target });
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  test('the same rows are the same, in whatever order and whatever order of columns', async () => {
    const database = await pair.database('My "odd" DB', SCHEMA, ['source', 'target']);
    await pair.query(
      'source',
      database,
      ROWS + 'create table turned (a int, b text); insert into turned values (1, $$x$$)',
    );
    await pair.query(
      'target',
      database,
      ROWS + 'create table turned (b text, a int); insert into turned values ($$x$$, 1)',
    );
    await pair.query(
      'target',
      database,
      `update "Order Items" set note = note where "select" < 500; insert into cache values (1)`,
    );
    const { output, changed } = await runOperation(compareTables, pair.context(database));
    expect(changed).toBe(false);
    expect(output).toMatchObject({ method: 'checksum', tables: 5, rows: 1005 });
    const sum = expect.stringMatching(/^-?\d+$/);
    expect((output as { listed: unknown }).listed).toEqual(
      expect.arrayContaining([
        { table: '"public"."Order Items"', rows: 1000, sum },
        { table: '"public"."empty"', rows: 0, sum: null },
        { table: '"public"."keyless"', rows: 3, sum },
        { table: '"public"."parted, north"', rows: 1, sum },
        { table: '"public"."turned"', rows: 1, sum },
      ]),
    );
  });

  test('each difference is found and named', async () => {
    const database = await pair.database('differing', SCHEMA, ['source', 'target']);
    for (const side of ['source', 'target'] as const) await pair.query(side, database, ROWS);
    const changes = [
      {
        change: `update "Order Items" set price = price + 0.001 where "select" = 500`,
        found: '"public"."Order Items": 1000 rows on both, but not the same',
      },
      {
        change: `delete from keyless where ctid = (select min(ctid) from keyless)`,
        found: '"public"."keyless": 3 rows on the source, 2 on the target',
      },
      {
        change: `update "parted, north" set id = null`,
        found: '"public"."parted, north": 1 rows on both, but not the same',
      },
    ];
    for (const { change } of changes) await pair.query('target', database, change);
    const comparison = runOperation(compareTables, pair.context(database));
    await expect(comparison).rejects.toMatchObject({
      message: expect.stringContaining('3 of 4 tables differ'),
      hint: expect.stringContaining('pgconvoy cancel'),
      disposition: 'give-up',
    });
    for (const { found } of changes)
      await expect(comparison).rejects.toMatchObject({ message: expect.stringContaining(found) });
  });
});

describe('from 15 to 18', () => {
  test('counts alone do not see changed contents, and no comparison sees nothing', async () => {
    await using counting = await TestPair.open({ settings: { comparison: 'count' } });
    const database = await counting.database('counted', SCHEMA, ['source', 'target']);
    await counting.query('source', database, ROWS);
    await expect(runOperation(compareTables, counting.context(database))).rejects.toThrow(
      /1000 rows on the source, 0 on the target/,
    );
    await counting.query('target', database, `${ROWS} update keyless set b = 'other'`);
    const counted = (await runOperation(compareTables, counting.context(database))).output;
    expect(counted).toMatchObject({ method: 'count', checksum: 'none', tables: 4, rows: 1004 });
    expect((counted as { listed: unknown }).listed).toContainEqual({ table: '"public"."keyless"', rows: 3, sum: null });

    await using blind = await TestPair.open({ settings: { comparison: 'none' } });
    const other = await blind.database('blind', 'create table t (id int)');
    expect((await runOperation(compareTables, blind.context(other))).output).toEqual({
      method: 'none',
      checksum: 'none',
      tables: 0,
      rows: 0,
      listed: [],
    });
  });

  test('what the target lacks is a difference, not an error of SQL', async () => {
    await using pair = await TestPair.open();
    const database = await pair.database('lacking', 'create table t (id int); create table gone (id int)', [
      'source',
      'target',
    ]);
    await pair.query('source', database, 'alter table t add "new one" int');
    await pair.query('target', database, 'drop table gone');
    const comparison = runOperation(compareTables, pair.context(database));
    await expect(comparison).rejects.toThrow(/"public"\."gone": the target lacks it/);
    await expect(comparison).rejects.toThrow(/"public"\."t": the target lacks column new one/);
  });

  test('hundreds of tables, killed in the middle and looked at again', async () => {
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
  });
});
