import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { EngineName } from '../../src/replication/engine.ts';
import type { Major } from '../helpers/servers.ts';
import { Scenario } from '../helpers/scenario.ts';
import { everythingTravelled } from '../helpers/travelled.ts';
import { pictureCatalog, pictureDifferences, remainsOf } from '../helpers/workload/catalog.ts';

test.for<readonly [Major, Major, EngineName]>([[13, 18, 'native']])(
  'over, back and over again, %i → %i (%s), while writers write: each side has every row, and nothing is left behind',
  async ([source, target, engine]) => {
    await using scenario = await Scenario.open({
      source,
      target,
      engine,
      databases: ['testdb', 'My "odd" DB', 'shop'],
      config: { cutover: { reverse: true } },
      settings: { wal_retrieve_retry_interval: '200ms' },
    });
    const { databases } = scenario;
    const worker = await scenario.program.startWorker();
    const before = await pictureCatalog(scenario.source);
    await using writers = scenario.startWriters();
    await writers.everywhere();
    for (const words of [['fix', '--yes'], ['setup'], ['start'], ['stop', '--yes']]) await scenario.complete(...words);
    await writers.goneFromSource();
    await sleep(500);

    const { options } = await scenario.complete('rollback', '--yes', '--together', '--deadline', '55s');
    expect(options).toMatchObject({ together: true, outage: 55_000, back: true });
    await writers.backOnSource(databases.length);
    await sleep(500);

    await scenario.complete('stop', '--yes');
    await writers.goneFromSource();
    await sleep(500);
    const journal = await writers.stop();
    await everythingTravelled(scenario.target, databases);
    await scenario.prove(journal, 'everything');

    await scenario.complete('finish', '--yes');
    await scenario.complete('uninstall', '--open-source');
    await worker.stop();
    const after = await pictureCatalog(scenario.source);
    expect(pictureDifferences(before, after)).toEqual([]);
    expect(await remainsOf(scenario.source, after)).toEqual([]);
    expect(await remainsOf(scenario.target, await pictureCatalog(scenario.target))).toEqual([]);
  },
);
