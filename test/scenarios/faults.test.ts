import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import type { RunView, StepView } from '../../src/queue/types.ts';
import { assertRun, Scenario, stepsOf } from '../helpers/scenario.ts';
import { clusterUrl } from '../helpers/servers.ts';
import type { ClusterInfo } from '../helpers/servers.ts';
import { eventually } from '../helpers/wait.ts';
import { query } from '../helpers/workload/session.ts';

const config = {
  deadlines: { lockTimeout: '200ms', lock: '3s', copyStall: '5s', slot: '20s', catchUp: '60s', fence: '20s' },
} as const;

/** A transaction of somebody else that holds a lock until `release`. */
async function holdLock(server: ClusterInfo, database: string, statement: string) {
  const client = new pg.Client({ connectionString: clusterUrl(server, database), application_name: 'nightly report' });
  client.on('error', () => {});
  await client.connect();
  await client.query(`begin; ${statement}`);
  return { release: () => client.end() };
}

/** What is kept of the steps that succeeded; the same again means that they did not run again. */
const done = (run: RunView) =>
  new Map(
    stepsOf(run)
      .filter((step) => step.state === 'completed')
      .map((step) => [step.id, { attempts: step.attempts, startedAt: step.startedAt, finishedAt: step.finishedAt }]),
  );

const failedSteps = (run: RunView): StepView[] => stepsOf(run).filter((step) => step.state === 'failed');

describe('two of twelve databases fail in the middle of a run', () => {
  test('ten go on to the barrier; the two are named with cause and remedy; retry finishes what is left and repeats nothing', async () => {
    await using scenario = await Scenario.open({ databases: 12, config });
    const { source, target, program } = scenario;
    await program.startWorker();
    await using writers = scenario.startWriters();
    await writers.everywhere();
    await scenario.complete('fix');
    await scenario.complete('setup');

    await query(source, 'warehouse', 'revoke connect on database warehouse from public, pgconvoy_replication');
    const lock = await holdLock(target, 'shop', 'lock table sales.purchase in row exclusive mode');
    const run = assertRun(await scenario.command('start'), 1, 'failed-steps');

    const failures = failedSteps(run);
    expect(failures.map(({ database }) => database).toSorted()).toEqual(['shop', 'warehouse']);
    const [shop, warehouse] = failures.toSorted((one, other) => (one.database! < other.database! ? -1 : 1));
    expect(shop!.operation).toBe('build-indexes');
    expect(shop!.error!.message).toContain('nightly report');
    expect(shop!.error!.hint).toMatch(/pg_terminate_backend|let it end|end it/i);
    expect(warehouse!.error!.message).toMatch(/pgconvoy_replication|permission denied/);
    expect(warehouse!.error!.hint).toMatch(/grant connect/i);
    // The others have nothing left to do before the barrier, and nobody has passed it.
    const lanes = stepsOf(run).filter((step) => step.database !== undefined);
    const unfinished = new Set(
      lanes.filter((step) => step.state !== 'completed' && step.stage === shop!.stage).map(({ database }) => database),
    );
    expect([...unfinished].toSorted()).toEqual(['shop', 'warehouse']);

    await query(source, 'warehouse', 'grant connect on database warehouse to public, pgconvoy_replication');
    await lock.release();
    const before = done(run);
    expect((await scenario.command('retry', run.id)).code).toBe(0);
    const finished = await scenario.follow(run.id);
    const after = done(finished);
    expect([...before].filter(([id, record]) => JSON.stringify(after.get(id)) !== JSON.stringify(record))).toEqual([]);
    expect(after.size).toBe(stepsOf(finished).length);

    await scenario.complete('stop', '--yes');
    await writers.onTarget(12);
    await scenario.prove(await writers.stop());
  });
});

test.each([
  { engine: 'native', source: 15, step: 'copy-snapshot', snapshotCopyUpTo: '512MB' },
  { engine: 'native', source: 15, step: 'copy-tables', snapshotCopyUpTo: '0MB' },
  { engine: 'pglogical', source: 13, step: 'copy-tables', snapshotCopyUpTo: '0MB' },
] as const)(
  'the source crashes and comes back in the middle of $step ($engine): the run ends right',
  async ({ engine, source: major, step, snapshotCopyUpTo }) => {
    await using scenario = await Scenario.open({
      engine,
      source: major,
      databases: ['testdb', 'shop'],
      config: { deadlines: { catchUp: '60s' }, replication: { snapshotCopyUpTo } },
    });
    const { source, program } = scenario;
    await query(
      source,
      'testdb',
      `insert into animal (name) select 'bulk-' || n || repeat('x', 200) from generate_series(1, 400000) n`,
    );
    await program.startWorker();
    await scenario.complete('fix', '--yes');
    await scenario.complete('setup');
    const { run: id } = (await program.json<{ run: string }>('start', '--detach')).document;
    await eventually(
      async () => {
        const [copying] = await query(
          scenario.target,
          'testdb',
          'select from pg_stat_progress_copy where tuples_processed > 0',
        );
        if (!copying) throw new Error('nothing is copied yet');
      },
      { timeoutMs: 60_000, intervalMs: 10 },
    );
    const crashedAt = Date.now();
    await source.kill();
    await sleep(1_500);
    await source.start();

    const run = await scenario.follow(id);
    const copy = stepsOf(run).find(({ key, database }) => key === step && database === 'testdb')!;
    expect(copy.attemptTimes[0]!.startedAt).toBeLessThan(crashedAt);
    expect(copy.finishedAt).toBeGreaterThan(crashedAt);
    await using writers = scenario.startWriters();
    await writers.everywhere();
    await scenario.complete('stop', '--yes');
    await writers.onTarget(2);
    await scenario.prove(await writers.stop());
  },
);
