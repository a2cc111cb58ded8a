import pg from 'pg';
import { expect, test } from 'vitest';
import type { Prediction } from '../../src/cli/rehearsal/prediction.ts';
import type { Report } from '../../src/cli/report/report.ts';
import { assertRun, Scenario, stepsOf } from '../helpers/scenario.ts';
import type { Cluster } from '../helpers/servers.ts';
import { eventually } from '../helpers/wait.ts';
import { pictureCatalog, pictureDifferences } from '../helpers/workload/catalog.ts';

/** Both clusters, where nothing may be different afterwards. */
const pictures = ({ source, target }: { source: Cluster; target: Cluster }) =>
  Promise.all([pictureCatalog(source), pictureCatalog(target)]);

test('rehearse while writers write, cancelled in the middle once: both sides stay as they were; then the real cutover loses nothing', async () => {
  await using scenario = await Scenario.open({ databases: ['testdb', 'crm', 'My "odd" DB'] });
  const { program, target } = scenario;
  await program.startWorker();
  await using writers = scenario.startWriters();
  await writers.everywhere();

  // The whole upgrade up to streaming is part of it.
  const { prediction } = (await program.json<{ prediction: Prediction }>('rehearse', '--yes')).document;
  expect(prediction.databases.map(({ database }) => database).toSorted()).toEqual(['My "odd" DB', 'crm', 'testdb']);
  // What a group waits for once is found among the steps that were measured, and no database is ready before it is.
  const { together, own, databases } = prediction;
  expect(together.onceMs).toBeGreaterThan(databases[0]!.estimatedMs);
  expect(together.worstMs).toBeGreaterThanOrEqual(own.worstMs);
  const before = await pictures(scenario);

  // Somebody holds what its triggers need: there it is cancelled.
  const holder = new pg.Client({ ...target, database: 'crm' });
  await holder.connect();
  await holder.query('begin; lock table public.contact in row exclusive mode');
  const { run: id } = (await program.json<{ run: string }>('rehearse', '--yes', '--detach')).document;
  await eventually(
    async () => {
      const steps = stepsOf((await scenario.command('status', id)).run!);
      const state = (database: string, key: string) =>
        steps.find((step) => step.database === database && step.key === key)?.state;
      expect([state('crm', 'create-deferred-triggers'), state('testdb', 'undo-hold-target')]).toEqual([
        'active',
        'completed',
      ]);
    },
    { timeoutMs: 30_000 },
  );
  await program.run('cancel', id);
  await scenario.follow(`${id}-undo`);
  await holder.end();
  const between = await pictures(scenario);
  expect(before.flatMap((picture, side) => pictureDifferences(picture, between[side]!))).toEqual([]);

  const stop = await scenario.complete('stop', '--yes');
  await writers.onTarget(3);
  const real = new Map(
    stepsOf(stop).flatMap(({ operation, database, output }) =>
      operation === 'open-target' ? [[database, (output as { outageMs: number }).outageMs]] : [],
    ),
  );
  console.log(
    `write outage: ${prediction.databases.map(({ database, milliseconds }) => `"${database}" predicted ${milliseconds} ms, real ${real.get(database)} ms`).join('; ')}`,
  );
  await scenario.prove(await writers.stop());
  const { report } = (await program.json<{ report: Report }>('report', stop.id)).document;
  expect(
    report.rehearsal?.databases.map(({ database, predictedMs, outageMs }) => [database, predictedMs, outageMs]),
  ).toEqual(
    report.rehearsal?.databases.map(({ database }) => [
      database,
      prediction.databases.find((one) => one.database === database)?.milliseconds,
      real.get(database),
    ]),
  );
  expect(report.rehearsal?.databases).toHaveLength(3);

  // Applications use them: nothing is rehearsed, and nothing put back.
  const opened = await pictures(scenario);
  const again = assertRun(await scenario.command('rehearse', '--yes'), 0, 'completed');
  expect(stepsOf(again).filter(({ key, changed }) => key.endsWith('hold-target') && changed)).toEqual([]);
  const after = await pictures(scenario);
  expect(opened.flatMap((picture, side) => pictureDifferences(picture, after[side]!))).toEqual([]);
});
