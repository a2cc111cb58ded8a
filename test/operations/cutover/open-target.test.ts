import { expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { awaitLsn } from '../../../src/operations/cutover/await-lsn.ts';
import { fenceSource } from '../../../src/operations/cutover/fence-source.ts';
import { openTarget } from '../../../src/operations/cutover/open-target.ts';
import type { Opened } from '../../../src/operations/cutover/opened.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';
import { schemaOnBothSides, walkTo } from '../../helpers/streaming.ts';

test('opens the target, measures the outage by the clock of the source, and can be taken back', async () => {
  await using pair = await TestPair.open();
  const database = await schemaOnBothSides(
    pair,
    'My "odd" DB',
    'create table t (id int primary key)',
    'insert into t values (1)',
  );
  await walkTo(pair, database, 'await-catch-up');
  await expect(runOperation(openTarget, pair.context(database))).rejects.toMatchObject({
    message: expect.stringContaining('the fence does not stand'),
    hint: expect.stringContaining('pgconvoy stop'),
  });

  await runOperation(fenceSource, pair.context(database));
  await runOperation(awaitLsn, pair.context(database));
  const [before] = await pair.query('source', 'postgres', 'select clock_timestamp()::text as now');
  const opened = (await proveContract(pair, openTarget, database)).output as Opened;
  expect(new Date(opened.openedAt).getTime()).toBeGreaterThanOrEqual(new Date(String(before?.['now'])).getTime());
  const outage = new Date(opened.openedAt).getTime() - new Date(opened.fencedAt).getTime();
  expect(Math.abs(opened.outageMs - outage)).toBeLessThanOrEqual(1);

  const [subscription] = await pair.query(
    'target',
    database,
    'select subenabled from pg_subscription s join pg_database d on d.oid = s.subdbid where datname = current_database()',
  );
  expect(subscription).toEqual({ subenabled: false });
  const { targetLedger, sourceLedger } = pair.context(database);
  expect((await targetLedger.entries(undefined, database)).map(({ kind }) => kind)).toEqual(['opened']);
  expect((await sourceLedger.entries('opened', database)).map(({ kind }) => kind)).toEqual(['opened']);
  expect(await fenceSource.undo!(pair.context(database))).toBe(false);
  expect((await runOperation(awaitLsn, pair.context(database))).changed).toBe(false);
});

test('killed in the middle, it converges', async () => {
  await using pair = await TestPair.open();
  const database = await schemaOnBothSides(pair, 'killed', 'create table t (id int primary key)');
  await walkTo(pair, database, 'await-catch-up');
  await runOperation(fenceSource, pair.context(database));
  await runOperation(awaitLsn, pair.context(database));
  const { output } = await proveKilledAndRunAgain(pair, openTarget, database, [1, 3, 6, 10]);
  expect(output).toMatchObject({ outageMs: expect.any(Number) });
});
