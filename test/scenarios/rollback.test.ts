import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { EngineName } from '../../src/replication/engine.ts';
import { slotName } from '../../src/replication/names.ts';
import { lit } from '../../src/postgres/sql.ts';
import { onServer } from '../helpers/pair.ts';
import type { Cluster, Major } from '../helpers/servers.ts';
import { Scenario } from '../helpers/scenario.ts';
import { eventually } from '../helpers/wait.ts';
import { pictureCatalog, pictureDifferences, remainsOf } from '../helpers/workload/catalog.ts';

/** Until whoever reads the slots of these databases has everything that is written there. */
async function everythingTravelled(from: Cluster, databases: readonly { readonly name: string }[]): Promise<void> {
  const [mark] = await onServer(from, 'postgres', `select pg_logical_emit_message(true, 'test', '')::text as lsn`);
  const names = databases.map(({ name }) => lit(slotName(name)).text).join(', ');
  await eventually(
    async () => {
      const slots = await onServer(
        from,
        'postgres',
        `select confirmed_flush_lsn >= ${lit(String(mark!['lsn'])).text} as done from pg_replication_slots where slot_name in (${names})`,
      );
      expect(slots).toEqual(databases.map(() => ({ done: true })));
    },
    { timeoutMs: 30_000 },
  );
}

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

    await scenario.complete('rollback', '--yes');
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
