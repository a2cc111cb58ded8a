import { appRoutes } from '@bull-board/api/dist/routes.js';
import { expect, test } from 'vitest';
import { approval, eachDatabase } from '../../src/engine/workflow.ts';
import type { Workflow } from '../../src/engine/workflow.ts';
import { PgconvoyError } from '../../src/errors.ts';
import { countJobs } from '../../src/queue/measure.ts';
import { gateId, stepId } from '../../src/queue/queues.ts';
import { readRun } from '../../src/queue/read-run.ts';
import { databases, stepOf, threeSteps } from '../queue/world.ts';
import type { World } from '../queue/world.ts';
import { openSite } from './site.ts';

const [shop, odd] = databases('shop', 'My "odd" DB');
const said = async (answer: Response): Promise<string> => ((await answer.json()) as { message: string }).message;

/** Every route of Bull Board that changes anything, as it is installed: one that is new is refused too. */
const CHANGING = appRoutes.api.flatMap(({ method, route }) =>
  [method].flat().flatMap((one) => (one === 'get' ? [] : [[one, [route].flat()[0]!] as const])),
);

/** One lane is through, the other one failed in its second step. */
async function halfFailed(world: World, beside: readonly Workflow[] = []): Promise<string> {
  const flow = threeSteps(world);
  world.on(`${odd!.name}/two`, () => {
    throw new PgconvoyError('no room', { hint: 'make room', disposition: 'retry' });
  });
  await world.work([flow, ...beside]);
  const id = await world.start(flow, [shop!, odd!]);
  await world.until(id, (run) => run.state === 'failed-steps' && stepOf(run, 'shop', 'three').state === 'completed');
  return id;
}

test('a failed job is retried with a whole series of attempts, and lane and run go on; nothing else is retried', async () => {
  await using site = await openSite();
  const { world } = site;
  const id = await halfFailed(world);
  const failed = stepOf(await readRun(world.queues, id), odd!.name, 'two');
  expect(failed.attempts).toBe(5);
  // It fails again before it succeeds: one single attempt would not do.
  world.on(`${odd!.name}/two`, (_, attempt) => {
    if (attempt < 8) throw new PgconvoyError('still no room', { hint: 'make room', disposition: 'retry' });
  });
  const done = stepId(id, 0, shop, 'one');
  expect((await site.change('PUT', `/api/queues/operation/${done}/retry`)).status).toBe(409);
  expect((await site.change('PUT', `/api/queues/copy/${encodeURIComponent(failed.id)}/retry`)).status).toBe(204);
  const run = await world.until(id, 'completed');
  expect(stepOf(run, odd!.name, 'two').attempts).toBe(8);
  expect((await world.journal()).filter((line) => line === 'shop/one')).toHaveLength(1);

  const again = await site.change('PUT', `/api/queues/copy/${failed.id}/retry`);
  expect(again.status).toBe(409);
  expect(await said(again)).toBe(`${failed.id} is completed: what succeeded is not done again.`);
  expect((await site.change('PUT', '/api/queues/copy/nothing/retry')).status).toBe(404);
});

test('a job of a cancelled run is not retried, and the answer says what to do instead', async () => {
  await using site = await openSite();
  const id = await halfFailed(site.world);
  const flow = threeSteps(site.world);
  await site.world.cancel(id, flow);
  await site.world.until(id, 'cancelled');
  const answer = await site.change('PUT', `/api/queues/copy/${stepId(id, 0, odd, 'two')}/retry`);
  expect(answer.status).toBe(409);
  expect(await said(answer)).toContain(`pgconvoy resume ${id}`);
});

test('everything else that Bull Board could change is refused with a sentence, and nothing has changed', async () => {
  await using site = await openSite();
  const { world } = site;
  const rows = [eachDatabase(world.operation('first')), approval('Go?'), eachDatabase(world.operation('last'))];
  const flow = { ...world.workflow(rows), name: 'gated' };
  const failed = await halfFailed(world, [flow]);
  const waiting = await world.start(flow, [{ oid: 20_000, name: 'third' }]);
  await world.until(waiting, 'waiting-approval');
  const before = await countJobs(world.queues);
  expect(CHANGING.length).toBeGreaterThan(20);
  const targets = [
    { queueName: 'copy', jobId: stepId(failed, 0, odd, 'two'), queueStatus: 'failed', schedulerId: 'x' },
    { queueName: 'operation', jobId: stepId(failed, 0, shop, 'one'), queueStatus: 'completed', schedulerId: 'x' },
    { queueName: 'gate', jobId: gateId(waiting, 1), queueStatus: 'delayed', schedulerId: 'x' },
    { queueName: 'run', jobId: failed, queueStatus: 'waiting-children', schedulerId: 'x' },
  ];
  const sentences = new Set<string>();
  for (const [method, route] of CHANGING) {
    if (route.endsWith('/:jobId/retry')) continue;
    for (const target of targets) {
      const path = route.replaceAll(/:(\w+)/g, (_, name: keyof typeof target) => encodeURIComponent(target[name]));
      const answer = await site.change(method.toUpperCase(), path, { force: true, name: 'x', data: {}, delay: 0 });
      expect([answer.status, path]).toEqual([403, path]);
      sentences.add(await said(answer));
    }
  }
  for (const sentence of sentences) expect(sentence).toMatch(/^Not done: the board shows everything .*\. [A-Z].*\.$/);
  expect(sentences.size).toBeGreaterThan(5);
  expect(await countJobs(world.queues)).toEqual(before);
  expect((await readRun(world.queues, waiting)).state).toBe('waiting-approval');
  expect((await site.change('DELETE', '/api/queues/copy')).status).toBe(404);
});

test('what there is to see: queues, a job with its progress and error, its logs, the tree of its run', async () => {
  await using site = await openSite();
  const { world } = site;
  const id = await halfFailed(world);
  const step = stepId(id, 0, odd, 'two');
  const json = async <T>(path: string): Promise<T> => (await site.get(path)).json() as Promise<T>;
  const { queues } = await json<{ queues: { name: string; counts: Record<string, number> }[] }>('/api/queues');
  expect(queues.map(({ name }) => name)).toEqual(['run', 'gate', 'operation', 'copy', 'cutover', 'notify']);
  expect(queues.find(({ name }) => name === 'copy')?.counts).toMatchObject({ failed: 1, completed: 1 });

  const { job } = await json<{ job: { failedReason: string; data: unknown; progress: { attempts: unknown[] } } }>(
    `/api/queues/copy/${step}`,
  );
  expect(job).toMatchObject({ failedReason: 'no room\n  → make room', data: { run: id, database: odd } });
  expect(job.progress.attempts).toHaveLength(5);
  expect((await json<string[]>(`/api/queues/copy/${step}/logs`)).join('\n')).toContain('no room');

  const { flowRoot } = await json<{ flowRoot: { id: string; children: { id: string; state: string }[] } }>(
    `/api/queues/copy/${step}/flow`,
  );
  expect(flowRoot.id).toBe(id);
  expect(flowRoot.children.map((child) => child.id).toSorted()).toEqual(
    [shop, odd].map((database) => stepId(id, 0, database, 'three')).toSorted(),
  );
});
