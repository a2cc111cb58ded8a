import { afterAll, beforeAll, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { copyChangedLargeObjects } from '../../../src/operations/large-objects/copy-changed-large-objects.ts';
import { copyLargeObjects } from '../../../src/operations/large-objects/copy-large-objects.ts';
import { id } from '../../../src/postgres/sql.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';
import { odd, pictureOf } from './large-object-picture.ts';

let pair: TestPair;
let database: string;
beforeAll(async () => {
  pair = await TestPair.open();
  database = await odd(pair);
  await pair.query('target', 'postgres', `create database ${id(database).text} template template0`);
});
afterAll(() => pair[Symbol.asyncDispose]());

const onSource = () => pictureOf(pair, 'source', database);
const onTarget = () => pictureOf(pair, 'target', database);

test('where they were not copied before, all of them', async () => {
  const { output } = await proveContract(pair, copyChangedLargeObjects, database);
  expect(output).toMatchObject({ largeObjects: 10 });
  expect(await onTarget()).toEqual(await onSource());
});

test('what has changed since the copy, and nothing else: written, truncated, made, removed, given away, commented', async () => {
  await runOperation(copyLargeObjects, pair.context(database));
  await pair.query(
    'source',
    database,
    `select lo_put(12, 30000, 'in the middle'), lo_unlink(10), lo_from_bytea(77, 'new');
     select lo_truncate(lo_open(20, 131072), 5), lo_put(13, 200000000, 'in a hole');
     alter large object 21 owner to postgres; grant update on large object 11 to public; comment on large object 12 is 'new';`,
  );
  const { changes } = await runOperation(copyChangedLargeObjects, pair.context(database));
  expect(changes).toEqual({ largeObjects: 7 });
  expect(await onTarget()).toEqual(await onSource());
});

test('killed in the middle', async () => {
  await pair.query(
    'source',
    database,
    `select lo_from_bytea(0, convert_to(repeat(n::text, 99), 'UTF8')) from generate_series(1, 700) n`,
  );
  await proveKilledAndRunAgain(pair, copyChangedLargeObjects, database, [50, 200, 400]);
  expect(await onTarget()).toEqual(await onSource());
});

test('what somebody has done on the target, or past all numbers of transactions, is found by the totals', async () => {
  await pair.query(
    'target',
    database,
    `select lo_put(12, 0, 'nobody should have done that, it makes the object no longer, or'), lo_create(99)`,
  );
  await pair.query('source', database, 'delete from pg_largeobject where loid = 12 and pageno = 3');
  await runOperation(copyChangedLargeObjects, pair.context(database));
  expect(await onTarget()).toEqual(await onSource());
});

test('back in the other direction, and forward again: what was noted of the first copy counts no more', async () => {
  await pair.query(
    'target',
    database,
    `select lo_put(12, 0, 'written by an application on the new cluster'), lo_unlink(22)`,
  );
  const reversed = () => pair.context(database, { reversed: true });
  await runOperation(copyLargeObjects, reversed());
  await pair.query('target', database, `select lo_put(20, 0, 'later')`);
  await runOperation(copyChangedLargeObjects, reversed());
  expect(await onTarget()).toEqual(await onSource());
  // Of the same length, so that no total tells.
  await pair.query('target', database, `update pg_largeobject set data = 'LATER' where loid = 20`);
  await runOperation(copyLargeObjects, pair.context(database));
  expect(await onTarget()).toEqual(await onSource());
});
