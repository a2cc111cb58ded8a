import assert from 'node:assert/strict';
import { expect, test } from 'vitest';
import { onServer } from '../helpers/pair.ts';
import { assertRun, Scenario, stepsOf } from '../helpers/scenario.ts';
import type { EngineName } from '../../src/replication/engine.ts';
import type { Major } from '../helpers/servers.ts';

import { pictureCatalog, pictureDifferences, remainsOf } from '../helpers/workload/catalog.ts';

// The oldest and the newest server to be had, and two in between that are not neighbours.
test.for<readonly [Major, Major, EngineName]>([
  [10, 18, 'native'],
  [13, 17, 'native'],
  [13, 18, 'pglogical'],
])(
  'the whole road %i → %i (%s) while writers write: nothing lost, nothing left behind',
  async ([source, target, engine]) => {
    await using scenario = await Scenario.open({ source, target, engine, databases: 13 });
    const { program, databases } = scenario;
    const worker = await program.startWorker();
    const before = await pictureCatalog(scenario.source);
    await using writers = scenario.startWriters();
    await writers.everywhere();

    const check = await scenario.command('check');
    assertRun(check, check.code, 'completed');
    await scenario.complete('fix', '--yes');
    await scenario.complete('setup');
    await scenario.complete('start');
    await comparedAmongWriters(scenario);
    const stop = await scenario.complete('stop', '--yes');
    await writers.onTarget(databases.length);
    const journal = await writers.stop();

    expect(stop.databases.map(({ name }) => name).toSorted()).toEqual(databases.map(({ name }) => name).toSorted());
    await scenario.prove(journal);
    await scenario.complete('uninstall', '--open-source');
    await worker.stop();

    const after = await pictureCatalog(scenario.source);
    expect(pictureDifferences(before, after)).toEqual([]);
    expect(await remainsOf(scenario.source, after)).toEqual([]);
    expect(await remainsOf(scenario.target, await pictureCatalog(scenario.target))).toEqual([]);
  },
);

/** Every table of every database is the same, as fast as the writers are; one row too many is found. */
async function comparedAmongWriters(scenario: Scenario): Promise<void> {
  const all = assertRun(await scenario.command('compare'), 0, 'completed');
  const outputs = stepsOf(all).map(({ output }) => output as { readonly tables: number; readonly rows: number });
  assert.ok(outputs.length > 0 && outputs.every(({ tables, rows }) => tables > 0 && rows > 0));

  await onServer(scenario.target, 'testdb', "insert into animal (id, name) values (0, 'too many')");
  const some = await scenario.command('compare', '--databases', 'testdb', '--tables', 'ani*');
  assertRun(some, 3, 'completed');
  assert.match(some.told, /1 row only on the target \(\\"id\\" = 0\)/);
  await onServer(scenario.target, 'testdb', 'delete from animal where id = 0');
}
