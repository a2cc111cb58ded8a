import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Progress } from '../../../src/engine/operation.ts';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { awaitCatchUp } from '../../../src/operations/replication/await-catch-up.ts';
import { copyTables } from '../../../src/operations/replication/copy-tables.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';
import { schemaOnBothSides, walkTo } from '../../helpers/streaming.ts';

let pair: TestPair;
beforeAll(async () => {
  pair = await TestPair.open({ settings: { deadlines: { catchUp: '1s' } } });
});
afterAll(() => pair[Symbol.asyncDispose]());

test('waits until the target is near, and makes it confirm at once', async () => {
  const database = await schemaOnBothSides(
    pair,
    'near',
    'create table t (id int primary key)',
    'insert into t values (1)',
  );
  await walkTo(pair, database, 'copy-tables');
  const { output } = await proveContract(pair, awaitCatchUp, database, { input: { bytes: 4_096_000 } });
  expect(output).toEqual({ withinBytes: 4_096_000, opened: false });
  const [row] = await pair.query('target', database, 'select subsynccommit from pg_subscription where subenabled');
  expect(row).toEqual({ subsynccommit: 'on' });
});

test('killed in the middle, it converges', async () => {
  const database = await schemaOnBothSides(
    pair,
    'killed',
    'create table t (id int primary key)',
    'insert into t values (1)',
  );
  await walkTo(pair, database, 'copy-tables');
  await proveKilledAndRunAgain(pair, awaitCatchUp, database, [1, 10, 30], { input: { bytes: 4_096_000 } });
});

test('past its deadline it says what is missing', async () => {
  const database = await schemaOnBothSides(
    pair,
    'behind',
    'create table t (id int primary key)',
    'insert into t values (1)',
  );
  await walkTo(pair, database, 'copy-tables');
  await copyTables.undo!(pair.context(database));
  await pair.query('source', database, 'insert into t select generate_series(2, 50000)');
  const seen: Progress[] = [];
  const input = { bytes: 1_000_000 };
  await expect(
    runOperation(awaitCatchUp, pair.context(database, { input, onProgress: (progress) => seen.push(progress) })),
  ).rejects.toMatchObject({
    name: 'DeadlineExceeded',
    message: expect.stringContaining('the subscription does not run'),
  });
  expect(seen.at(-1)?.total).toBeGreaterThan(1_000_000);
});

test('a change that cannot be applied ends the wait long before the deadline', async () => {
  await using patient = await TestPair.open({ settings: { deadlines: { catchUp: '2m' } } });
  const database = await schemaOnBothSides(
    patient,
    'stuck',
    'create table t (id int primary key)',
    'insert into t values (1)',
  );
  await walkTo(patient, database, 'copy-tables');
  await patient.query('target', database, 'insert into t values (2)');
  await patient.query('source', database, 'insert into t values (2)');
  await expect(runOperation(awaitCatchUp, patient.context(database, { input: { bytes: 0 } }))).rejects.toMatchObject({
    message: expect.stringContaining('has failed 3 times in a row to apply a change'),
    hint: expect.stringMatching(
      /^The reason is in the target server's log \(logging_collector is off there: .*Mend it/,
    ),
  });
});
