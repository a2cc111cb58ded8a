import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Job } from 'bullmq';
import { expect, test } from 'vitest';
import { approval, eachDatabase } from '../../src/engine/workflow.ts';
import { PgconvoyError } from '../../src/errors.ts';
import { startRedis } from '../helpers/servers.ts';
import { eventually } from '../helpers/wait.ts';
import { databases, stepOf, threeSteps } from '../queue/world.ts';
import { openSite } from './site.ts';
import type { Site } from './site.ts';

const metrics = async (site: Site): Promise<string> => (await site.get('/metrics')).text();

test('jobs, runs, databases of a run, durations of steps, and what both clusters say', async () => {
  await using site = await openSite({
    readClusters: async () => ({
      configuration: { role: { name: 'r' }, source: { address: 's' }, target: { address: 't' } },
      databases: [
        {
          database: 'a',
          state: 'replicating',
          lagBytes: 7,
          lagSeconds: 1.5,
          slot: { active: true, retainedBytes: 8, walStatus: 'extended' },
        },
        { database: 'My "odd" DB', state: 'down', reason: 'gone', slot: { active: false, retainedBytes: 9 } },
      ].map((one) => ({ ...one, setup: undefined as never, state: one.state as 'down' })),
      unreachable: [{ side: 'target', message: 'secret of nobody' }],
    }),
  });
  const { world } = site;
  const flow = threeSteps(world);
  world.on('b/two', () => {
    throw new PgconvoyError('no', { hint: 'yes' });
  });
  await world.work(flow);
  const id = await world.start(flow, databases('a', 'b', 'c'));
  await world.until(
    id,
    (run) =>
      run.state === 'failed-steps' && ['a', 'c'].every((name) => stepOf(run, name, 'three').state === 'completed'),
  );
  const answer = await site.get('/metrics');
  expect(answer.headers.get('content-type')).toContain('text/plain');
  const lines = (await answer.text()).split('\n');
  for (const line of [
    'pgconvoy_queue_up 1',
    'pgconvoy_workers 1',
    'pgconvoy_slot_wal_status{database="a",wal_status="extended"} 1',
    'pgconvoy_jobs{queue="copy",state="failed"} 1',
    'pgconvoy_jobs{queue="operation",state="completed"} 5',
    'pgconvoy_jobs{queue="run",state="waiting-children"} 1',
    'pgconvoy_runs{workflow="trial",state="failed-steps"} 1',
    `pgconvoy_run_databases{run="${id}",state="failed"} 1`,
    `pgconvoy_run_databases{run="${id}",state="completed"} 2`,
    'pgconvoy_step_duration_seconds_count{step="one"} 3',
    'pgconvoy_step_duration_seconds_count{step="two"} 2',
    'pgconvoy_databases{state="replicating"} 1',
    'pgconvoy_databases{state="down"} 1',
    'pgconvoy_replication_lag_bytes{database="a"} 7',
    'pgconvoy_replication_lag_seconds{database="a"} 1.5',
    String.raw`pgconvoy_slot_retained_bytes{database="My \"odd\" DB"} 9`,
    String.raw`pgconvoy_slot_active{database="My \"odd\" DB"} 0`,
    'pgconvoy_server_up{side="source"} 1',
    'pgconvoy_server_up{side="target"} 0',
  ])
    expect(lines).toContain(line);
  // What dashboard and alerts ask for is there under that name.
  const known = new Set(lines.flatMap((line) => /^# TYPE (\w+) /.exec(line)?.[1] ?? []));
  for (const page of ['grafana-dashboard.json', 'prometheus-alerts.yaml']) {
    const asked = readFileSync(join(import.meta.dirname, '../../docs', page), 'utf8').match(/\bpgconvoy_\w+/g) ?? [];
    expect(asked.length).toBeGreaterThan(5);
    expect(asked.filter((name) => !known.has(name.replace(/_(bucket|count|sum)$/, '')))).toEqual([]);
  }
  // A step counts once, however often somebody looks.
  world.calm('b/two');
  await world.retry(id, flow);
  await world.until(id, 'completed');
  await eventually(async () => {
    const later = (await metrics(site)).split('\n');
    expect(later).toContain('pgconvoy_step_duration_seconds_count{step="two"} 3');
    expect(later).toContain('pgconvoy_step_duration_seconds_count{step="one"} 3');
    expect(later).toContain('pgconvoy_runs{workflow="trial",state="completed"} 1');
    expect(later.join('\n')).not.toContain('pgconvoy_run_databases{');
  });
});

test('copies with their bytes and rows', async () => {
  await using site = await openSite();
  const { world } = site;
  world.on('two', (context) => context.progress({ done: 30, total: 100, unit: 'bytes', rows: 4 }));
  const flow = world.workflow([eachDatabase(world.operation('two', { queue: 'copy' })), approval('Go?')]);
  await world.work(flow);
  const id = await world.start(flow, databases('a', 'b'));
  await world.until(id, 'waiting-approval');
  const lines = (await metrics(site)).split('\n');
  expect(lines).toContain(`pgconvoy_copy_bytes{run="${id}"} 200`);
  expect(lines).toContain(`pgconvoy_copy_total_bytes{run="${id}"} 200`);
  expect(lines).toContain(`pgconvoy_copy_rows{run="${id}"} 8`);
});

test('how long nobody could write to what was switched over; a step that found it done already had no outage', async () => {
  await using site = await openSite();
  const { queues } = site.world;
  const processor = async (job: Job) => ({ changed: job.data.changed, output: { outageMs: 300 } });
  const worker = queues.store.worker('cutover', processor, {});
  try {
    await queues.cutover.add('open-target', { changed: true }, { jobId: 'run.0.1.open-target' });
    await queues.cutover.add('open-target', { changed: false }, { jobId: 'run.0.2.open-target' });
    await eventually(async () => expect(await queues.cutover.getCompletedCount()).toBe(2));
  } finally {
    await worker.close();
  }
  const lines = (await metrics(site)).split('\n');
  expect(lines).toContain('pgconvoy_step_duration_seconds_count{step="open-target"} 2');
  expect(lines).toContain('pgconvoy_outage_seconds_count 1');
  expect(lines).toContain('pgconvoy_outage_seconds_sum 0.3');
});

test('clusters that hang, and a queue that is away, fail no page; all is back when the queue is', async () => {
  await using redis = await startRedis({ name: 'board' });
  await using site = await openSite({ server: { url: redis.url }, readClusters: () => new Promise(() => {}) });
  const began = performance.now();
  const text = await metrics(site);
  expect(performance.now() - began).toBeLessThan(10_000);
  expect(text).toContain('pgconvoy_queue_up 1');
  expect(text).not.toContain('pgconvoy_server_up{');

  await redis.kill();
  await eventually(async () => expect((await site.get('/readyz')).status).toBe(503));
  expect((await site.get('/healthz')).status).toBe(200);
  const away = await site.get('/api/queues');
  expect(away.status).toBe(503);
  expect(await away.json()).toMatchObject({ message: expect.stringContaining('The queue cannot be reached.') });
  expect((await site.get('/')).status).toBe(200);
  expect(await metrics(site)).toContain('pgconvoy_queue_up 0');

  await redis.start();
  await eventually(async () => expect((await site.get('/readyz')).status).toBe(200));
  expect((await site.get('/api/queues')).status).toBe(200);
});
