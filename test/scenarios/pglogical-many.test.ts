import { expect, test } from 'vitest';
import type { RunView } from '../../src/queue/types.ts';
import { assertRun, Scenario, stepsOf } from '../helpers/scenario.ts';
import { eventually } from '../helpers/wait.ts';

const COPIES = 4;

test(
  '30 databases on pglogical in one run, four copies at a time, the only worker killed twice on the way: nothing lost',
  { timeout: 600_000 },
  async () => {
    await using scenario = await Scenario.open({
      source: 13,
      target: 18,
      engine: 'pglogical',
      databases: 30,
      config: { budgets: { copies: COPIES } },
    });
    const { program, databases } = scenario;
    await using writers = scenario.startWriters(300);
    await writers.everywhere();

    let worker = await program.startWorker();
    const upgrade = scenario.command('upgrade', '--yes');
    const copiesAtOnce: number[] = [];
    for (const copied of [4, 16]) {
      await eventually(
        async () => {
          const { document } = await program.json<{ run: RunView }>('status');
          const steps = stepsOf(document.run);
          copiesAtOnce.push(steps.filter(({ queue, state }) => queue === 'copy' && state === 'active').length);
          const through = steps.filter(({ operation, state }) => operation === 'copy-tables' && state === 'completed');
          expect(through.length).toBeGreaterThanOrEqual(copied);
        },
        { timeoutMs: 240_000, intervalMs: 300 },
      );
      await worker.kill();
      worker = await program.startWorker();
    }
    const run = assertRun(await upgrade, 0, 'completed', worker.log().split('\n').slice(-20).join('\n'));
    await writers.onTarget(databases.length);
    const journal = await writers.stop();

    expect(run.databases).toHaveLength(30);
    expect(Math.max(...copiesAtOnce)).toBeLessThanOrEqual(COPIES);
    expect(Math.max(...copiesAtOnce)).toBeGreaterThan(1);
    await scenario.prove(journal);
    await worker.stop();
  },
);
