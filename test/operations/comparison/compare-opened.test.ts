import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { compareOpened } from '../../../src/operations/comparison/compare-opened.ts';
import { compareTables } from '../../../src/operations/comparison/compare-tables.ts';
import { dropSnapshots } from '../../../src/operations/comparison/snapshots.ts';
import { TestPair } from '../../helpers/pair.ts';

/** Tables above strictUpTo, of which the second is emptied after the opening. */
const SCHEMA = `
  create table small (id int primary key);
  create table "Large ""one""" (id int, part text, note text, primary key (id, part));
  create table emptied (id int primary key, note text);
  create table keyless (a int);`;
const ROWS = `
  insert into small select generate_series(1, 10);
  insert into "Large ""one""" select n, 'ü', repeat('x', 100) from generate_series(1, 10000) n;
  insert into emptied select n, repeat('x', 100) from generate_series(1, 3000) n;
  insert into keyless select n from generate_series(1, 5000) n;`;
const HELD = `select count(*)::int as held from pg_stat_activity where datname = current_database() and state = 'idle in transaction'`;

let pair: TestPair;
beforeAll(async () => {
  pair = await TestPair.open({ settings: { comparison: { strictUpTo: '64kB' } } });
});
afterAll(() => pair[Symbol.asyncDispose]());

async function switchedOver(base: string, before = ''): Promise<string> {
  const database = await pair.database(base, SCHEMA + ROWS, ['source', 'target']);
  await pair.query('target', database, before || 'select 1');
  const { output, findings } = await runOperation(compareTables, pair.context(database));
  expect([findings, output]).toMatchObject([[], { tables: 1, rows: 10, left: 3, differing: 0 }]);
  return database;
}
const held = async (database: string) =>
  Promise.all(
    (['source', 'target'] as const).map(async (side) => (await pair.query(side, database, HELD))[0]!['held']),
  );

describe('what is left for after the opening', () => {
  test('is compared as it was, whatever applications do meanwhile', async () => {
    const database = await switchedOver('My "odd" DB');
    expect(await held(database)).toEqual([1, 1]);
    // Applications on the target, and what travels back to the source.
    for (const side of ['source', 'target'] as const)
      await pair.query(
        side,
        database,
        `delete from "Large ""one""" where id < 100; update "Large ""one""" set note = 'new'; insert into keyless values (1)`,
      );
    await pair.query('target', database, `insert into keyless values (2)`);
    const { output, findings, changed } = await runOperation(compareOpened, pair.context(database));
    expect([findings, changed]).toEqual([[], false]);
    expect(output).toMatchObject({ method: 'checksum', tables: 3, rows: 18_000, left: 0 });
    expect(await held(database)).toEqual([0, 0]);
    expect((await runOperation(compareOpened, pair.context(database))).output).toMatchObject({ method: 'none' });
  });

  test('differences of then are found to the row, told again, and can be accepted', async () => {
    const database = await switchedOver(
      'differing',
      `update "Large ""one""" set note = 'other' where id = 77; delete from keyless where a = 3`,
    );
    await pair.query(
      'target',
      database,
      `delete from "Large ""one""" where id = 77; insert into keyless values (3); truncate emptied`,
    );
    const first = await runOperation(compareOpened, pair.context(database));
    expect(first.findings.map(({ code, message }) => [code, message])).toEqual([
      ['rows-differ', expect.stringContaining('1 row only on the source (ctid (')],
      ['rows-differ', expect.stringContaining(`1 row with other contents (("id", "part") = (77, 'ü'))`)],
      ['comparison-unfinished', expect.stringContaining('"public"."emptied"')],
    ]);
    expect(first.output).toMatchObject({ tables: 2, differing: 2, left: 1 });
    expect(await held(database)).toEqual([0, 0]);
    await expect(runOperation(compareOpened, pair.context(database), { findings: 'block' })).rejects.toMatchObject({
      name: 'BlockedByFindings',
      hint: expect.stringContaining('accept rows-differ'),
    });
  });

  test('a worker that has died is told, and given back is let go', async () => {
    const database = await switchedOver('lost');
    await pair.query(
      'target',
      database,
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and state = 'idle in transaction'`,
    );
    const { findings, output } = await runOperation(compareOpened, pair.context(database), { findings: 'block' });
    expect(findings).toMatchObject([{ code: 'comparison-unfinished', severity: 'warning' }]);
    expect(output).toMatchObject({ tables: 0, left: 3 });
    expect(await held(database)).toEqual([0, 0]);

    const other = await switchedOver('given back');
    expect(await dropSnapshots(pair.context(other))).toBe(true);
    expect(await held(other)).toEqual([0, 0]);
    expect(await dropSnapshots(pair.context(other))).toBe(false);
  });
});

test('nothing before the opening, all of it after; strict in no time is refused', async () => {
  await using fast = await TestPair.open({ settings: { comparison: { mode: 'fast' } } });
  const database = await fast.database('fast', SCHEMA + ROWS, ['source', 'target']);
  expect((await runOperation(compareTables, fast.context(database))).output).toMatchObject({ method: 'none' });
  await fast.query('target', database, 'delete from small');
  const after = await runOperation(compareOpened, fast.context(database));
  expect([after.findings, after.output]).toMatchObject([[], { tables: 4, rows: 18_010 }]);

  await using strict = await TestPair.open({ settings: { comparison: { mode: 'strict', budget: '0s' } } });
  const late = await strict.database('late', SCHEMA + ROWS, ['source', 'target']);
  await expect(runOperation(compareTables, strict.context(late), { findings: 'block' })).rejects.toMatchObject({
    message: expect.stringContaining('4 of 4 tables were not compared within 0 ms'),
    hint: expect.stringContaining('comparison.budget'),
  });
});
