import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { copyLargeObjects } from '../../../src/operations/large-objects/copy-large-objects.ts';
import { id } from '../../../src/postgres/sql.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';
import { odd, pictureOf } from './large-object-picture.ts';

describe.each([
  { source: 10, target: 18 },
  { source: 15, target: 18 },
] as const)('from $source to $target', ({ source, target }) => {
  let pair: TestPair;
  let database: string;
  beforeAll(async () => {
    pair = await TestPair.open({ source, target });
    database = await odd(pair);
    await pair.query('target', 'postgres', `create database ${id(database).text} template template0`);
    await pair.context(database).targetLedger.record({ kind: 'database', database }, {});
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  test('numbers, pages, owners, privileges and comments are those of the source', async () => {
    const { output } = await proveContract(pair, copyLargeObjects, database);
    expect(output).toMatchObject({ objects: 10 });
    const picture = await pictureOf(pair, 'source', database);
    expect(picture.filter((each) => each['oid'] === '13')).toMatchObject([{ pages: 2, bytes: expect.any(Number) }]);
    expect(await pictureOf(pair, 'target', database)).toEqual(picture);
  });

  test('again after many changes: what has changed is copied, what is gone is removed', async () => {
    const [owner] = await pair.query(
      'source',
      database,
      'select lomowner::regrole::text as name from pg_largeobject_metadata where oid = 20',
    );
    await pair.query(
      'source',
      database,
      `select lo_from_bytea(0, convert_to('new ' || n, 'UTF8')) from generate_series(1, 700) n;
       select lo_put(12, 20000, 'in the middle'), lo_put(13, 100000000, 'in a hole'), lo_unlink(23);
       select lo_truncate(lo_open(10, 131072), 2);
       alter large object 11 owner to ${String(owner?.['name'])}; revoke all on large object 22 from ${String(owner?.['name'])} cascade;
       comment on large object 21 is 'new'; comment on large object 11 is null;`,
    );
    expect((await runOperation(copyLargeObjects, pair.context(database))).changed).toBe(true);
    expect(await pictureOf(pair, 'target', database)).toEqual(await pictureOf(pair, 'source', database));
  });
});

describe('from 15 to 18', () => {
  let pair: TestPair;
  beforeAll(async () => {
    pair = await TestPair.open();
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  test('thousands of them, killed in the middle again and again', async () => {
    const database = await pair.database('many', '', ['source', 'target']);
    await pair.query(
      'source',
      database,
      `select lo_from_bytea(0, convert_to(repeat(n::text, 50), 'UTF8')) from generate_series(1, 4000) n`,
    );
    const { output } = await proveKilledAndRunAgain(pair, copyLargeObjects, database, [100, 400, 800]);
    expect(output).toMatchObject({ objects: 4000 });
    const sums = (side: 'source' | 'target') =>
      pair.query(
        side,
        database,
        `select count(*)::int as objects, md5(string_agg(md5(loid || ' ' || pageno || md5(data)), '' order by loid, pageno)) as sum
           from pg_largeobject`,
      );
    expect(await sums('target')).toEqual(await sums('source'));
  });

  test('left or blocked, as the configuration says', async () => {
    await using other = await TestPair.open({ settings: { notReplicated: { largeObjects: 'leave' } } });
    const left = await other.database('left', `select lo_create(7)`, ['source']);
    expect(await runOperation(copyLargeObjects, other.context(left))).toMatchObject({ changed: false });
    await using strict = await TestPair.open({
      settings: {
        notReplicated: { largeObjects: 'block' },
        accept: [{ finding: 'large-objects', database: 'waived', reason: 'orphans' }],
      },
    });
    const blocked = await strict.database('blocked', `select lo_create(7)`, ['source', 'target']);
    await expect(runOperation(copyLargeObjects, strict.context(blocked))).rejects.toThrow(
      /holds large objects, which replication does not carry, and the configuration blocks/,
    );
  });

  test('a database without them costs no note', async () => {
    const database = await pair.database('none', '', ['source', 'target']);
    expect(await runOperation(copyLargeObjects, pair.context(database))).toEqual({
      changed: false,
      output: { objects: 0, bytes: 0 },
      findings: [],
    });
  });
});
