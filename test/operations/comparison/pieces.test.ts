import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ComparableTable, comparableTables } from '../../../src/postgres/catalog/comparison.ts';
import { batchesOf } from '../../../src/operations/comparison/pieces.ts';
import { lookForRows } from '../../../src/operations/comparison/look-for-rows.ts';
import { readerOf } from '../../../src/operations/comparison/sides.ts';
import { compareSums } from '../../../src/operations/comparison/sums.ts';
import { commonWriting } from '../../../src/operations/comparison/writing.ts';
import { TestPair } from '../../helpers/pair.ts';

const KEYS = {
  int: 'n',
  'numeric(12, 2)': 'n * 1.5',
  timestamptz: `timestamptz '2026-01-01' + n * interval '1 minute'`,
  date: `date '2026-01-01' + n`,
  // Rows lie in another order than their keys.
  uuid: 'md5(n::text)::uuid',
  // Servers order it each in its own way.
  text: `'k' || n`,
};
const SCHEMA = Object.entries(KEYS)
  .map(
    ([type, key], index) => `
      create table "by ${index}" ("the key" ${type}, other int default 1, note text, primary key ("the key", other));
      insert into "by ${index}" select ${key}, 1, repeat('x', 300) from generate_series(-1000, 9000) n;`,
  )
  .join('');
/** As if they were as large as that, so that they are cut. */
const BYTES = 160 * 1_048_576;

describe('large tables', () => {
  let pair: TestPair;
  let database: string;
  beforeAll(async () => {
    pair = await TestPair.open();
    database = await pair.database('My "odd" DB', SCHEMA, ['source', 'target']);
    await pair.query('source', database, 'analyze');
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  test('are cut by keys that both servers order alike; every row is in one piece; a difference is found in its own', async () => {
    const context = pair.context(database);
    const writing = await commonWriting(context);
    const reading = { writing };
    const tables = (await context.source.many(ComparableTable, comparableTables())).map((table) => ({
      ...table,
      bytes: BYTES,
    }));
    const batches = await batchesOf(readerOf(context.source, reading), tables);
    const pieces = (name: string) => batches.flat().filter(({ table }) => table.name === name);
    expect(tables.map(({ name }) => pieces(name).length > 1)).toEqual([true, true, true, true, false, false]);

    const same = await compareSums(context, { batches, reading, writing });
    expect([...same.sums.values()].map(({ rows }) => rows)).toEqual(tables.map(() => 10_001));
    expect([same.differing, same.left]).toEqual([[], []]);

    await pair.query(
      'target',
      database,
      `update "by 0" set note = 'y' where "the key" in (-900, 8000); delete from "by 5" where "the key" = 'k7';
       insert into "by 2" values ('1999-01-01', 1, null)`,
    );
    const compared = await compareSums(context, { batches, reading, writing });
    expect(compared.differing.map(({ piece }) => piece.table.name).toSorted()).toEqual([
      'by 0',
      'by 0',
      'by 2',
      'by 5',
    ]);
    const found = await lookForRows(context, compared.differing, { reading, writing });
    expect(Object.fromEntries(found.map(({ name, what }) => [name, what]))).toEqual({
      'by 0': expect.stringMatching(/^2 rows with other contents \(.* = \(-900, 1\), .* = \(8000, 1\)\)$/),
      'by 2': `1 row only on the target (("the key", "other") = ('1999-01-01 00:00:00+00', 1))`,
      'by 5': `1 row only on the source (("the key", "other") = ('k7', 1))`,
    });
  });

  test('thousands of rows that differ are told by some and by their number', async () => {
    const context = pair.context(database);
    const writing = await commonWriting(context);
    await pair.query('target', database, `update "by 1" set note = 'y'`);
    const table = (await context.source.many(ComparableTable, comparableTables())).filter(
      ({ name }) => name === 'by 1',
    );
    const batches = table.map((each) => [{ table: each, bytes: each.bytes }]);
    const { differing } = await compareSums(context, { batches, reading: { writing }, writing });
    const [found] = await lookForRows(context, differing, { reading: { writing }, writing });
    expect(found!.found).toBe(10_001);
    expect(found!.rows).toHaveLength(100);
    expect(found!.what).toMatch(/^10001 rows with other contents \(.*, and 9991 more\)$/);
  });
});
