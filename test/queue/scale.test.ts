import { expect, test } from 'vitest';
import { barrier, eachDatabase } from '../../src/engine/workflow.ts';
import { listRuns, readRun, runLogs } from '../../src/queue/read-run.ts';
import { createLogger } from '../../src/log.ts';
import { startWorkers } from '../../src/queue/workers.ts';
import { BUDGETS, databases, openWorld, steps } from './world.ts';

test('a thousand databases of twelve steps', async () => {
  await using world = await openWorld();
  const rows = Array.from({ length: 12 }, (_, index) => eachDatabase(world.operation(`step-${index}`)));
  const flow = world.workflow([...rows.slice(0, 6), barrier('half'), ...rows.slice(6)]);
  const names = Array.from({ length: 1_000 }, (_, index) => `database ${index}`);
  const seen = new Map<string, number>();
  const begun = performance.now();
  const id = await world.start(flow, databases(...names));
  const workers = await startWorkers({
    queues: world.queues,
    workflows: [flow],
    execute: async ({ database, step }) => {
      const key = `${database?.name}/${step.key}`;
      seen.set(key, (seen.get(key) ?? 0) + 1);
      return { changed: false, output: { rows: 1 }, findings: [] };
    },
    budgets: BUDGETS,
    waitDeadlineMs: 60_000,
    log: createLogger('silent'),
  });
  try {
    const watch: number[] = [];
    for (;;) {
      const asked = performance.now();
      const run = await readRun(world.queues, id);
      watch.push(performance.now() - asked);
      if (run.state === 'completed') break;
      await new Promise((resolve) => setTimeout(resolve, 2_000));
    }
    const ran = performance.now() - begun;
    const asked = performance.now();
    const done = await readRun(world.queues, id);
    const read = performance.now() - asked;
    const listed = performance.now();
    expect(await listRuns(world.queues)).toHaveLength(1);
    const list = performance.now() - listed;
    console.log(
      `12,000 steps in ${(ran / 1_000).toFixed(1)} s; readRun ${Math.round(read)} ms idle, ${Math.round(Math.max(...watch))} ms at worst while they ran; listRuns ${Math.round(list)} ms`,
    );
    expect(steps(done)).toHaveLength(12_000);
    expect(done.summary).toMatchObject({ changed: 0, unchanged: 12_000 });
    expect(seen.size).toBe(12_000);
    expect([...seen.values()].every((count) => count === 1)).toBe(true);
    expect(await runLogs(world.queues, id, { database: 'database 7' })).toHaveLength(24);
    expect(read).toBeLessThan(4_000);
  } finally {
    await workers.stop();
  }
}, 180_000);
