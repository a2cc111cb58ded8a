import { expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import type { Step } from '../../../src/engine/workflow.ts';
import { awaitLsn } from '../../../src/operations/cutover/await-lsn.ts';
import { fenceSource } from '../../../src/operations/cutover/fence-source.ts';
import { openTarget } from '../../../src/operations/cutover/open-target.ts';
import type { Opened } from '../../../src/operations/cutover/opened.ts';
import { createSlot } from '../../../src/operations/replication/create-slot.ts';
import { runHooks } from '../../../src/operations/traffic/run-hooks.ts';
import { id } from '../../../src/postgres/sql.ts';
import { stop } from '../../../workflows/stop.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';
import { schemaOnBothSides, walkTo } from '../../helpers/streaming.ts';

/** What a cutover of one database is made of, but for hooks, the way back, and what takes back. */
const isOfLane = ({ kind, operation, policy }: Step): boolean =>
  kind === 'database' && operation !== runHooks && !policy.reversed && policy.direction !== 'undo';

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

  // The old one belongs to its owner again, whether or not its slot is still there: a later pass leaves it alone, all along the lane.
  const name = id(database).text;
  await pair.query(
    'source',
    'postgres',
    `grant connect on database ${name} to public; alter database ${name} reset default_transaction_read_only`,
  );
  await pair.query('source', database, 'insert into t values (2); create table theirs (id int)');
  const notes = () => sourceLedger.entries(undefined, database);
  const noted = await notes();
  const lane = stop.rows.flatMap((row) => ('operation' in row && isOfLane(row) ? [row] : []));
  expect(lane.length).toBeGreaterThan(10);
  for (const slot of ['there', 'gone']) {
    if (slot === 'gone') await createSlot.undo!(pair.context(database));
    for (const { operation, policy, input } of lane) {
      const context = pair.context(database, { input });
      const told = { slot, step: operation.name };
      const { changed } = await runOperation(operation, context, policy);
      expect({ ...told, changed }).toEqual({ ...told, changed: false });
    }
  }
  expect(await notes()).toEqual(noted);
  const { lsn, fencedAt } = opened;
  expect(await fenceSource.check(pair.context(database))).toEqual({
    holds: true,
    output: { opened: true, lsn, fencedAt },
  });
  expect(await pair.query('source', database, 'show default_transaction_read_only')).toEqual([
    { default_transaction_read_only: 'off' },
  ]);
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
