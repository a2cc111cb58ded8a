import { expect, test } from 'vitest';
import { assertRun, Scenario } from '../helpers/scenario.ts';
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
