/** What we rely on in BullMQ, tried on BullMQ itself: an update that changes any of it must not get in unseen. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { UnrecoverableError } from 'bullmq';
import type { FlowJob, Processor, Worker } from 'bullmq';
import { expect, test } from 'vitest';
import { connect } from '../../src/queue/connection.ts';
import { openQueueDatabase } from '../helpers/queue-database.ts';
import { sharedRedis } from '../helpers/servers.ts';
import { eventually } from '../helpers/wait.ts';
import { onRedis } from './world.ts';

async function openBull() {
  const database = onRedis() ? undefined : await openQueueDatabase();
  const redis = async () => ({ url: (await sharedRedis()).url, prefix: `bull-${randomBytes(6).toString('hex')}` });
  const store = await connect(database?.config ?? (await redis()), 'worker');
  const queue = store.queue('steps');
  const flow = store.flow();
  const workers: Worker[] = [];
  const ran: string[] = [];
  let broken = new Set<string>();
  return {
    queue,
    flow,
    ran,
    breakJobs: (...ids: string[]) => {
      broken = new Set(ids);
    },
    work(processor?: Processor, concurrency = 4) {
      const fallback: Processor = async (job) => {
        ran.push(job.id!);
        if (broken.has(job.id!)) throw new UnrecoverableError('broken');
        return 'ok';
      };
      const worker = store.worker('steps', processor ?? fallback, { concurrency });
      worker.on('error', () => undefined);
      workers.push(worker);
      return worker;
    },
    node: (id: string, children?: FlowJob[], opts: object = {}): FlowJob => ({
      name: id,
      queueName: 'steps',
      data: {},
      opts: { jobId: id, ...opts },
      ...(children ? { children } : {}),
    }),
    state: async (id: string) => (await queue.getJob(id))?.getState(),
    reach: (id: string, state: string) =>
      eventually(async () => expect(await (await queue.getJob(id))?.getState()).toBe(state)),
    async [Symbol.asyncDispose]() {
      await Promise.all(workers.map((worker) => worker.close()));
      await Promise.all([queue.close(), flow.close()]);
      await store.close();
      await database?.[Symbol.asyncDispose]();
    },
  };
}

test('a child without failure option that fails leaves its parents waiting; its retry carries them on, siblings do not run again', async () => {
  await using bull = await openBull();
  bull.breakJobs('b1');
  bull.work();
  await bull.flow.add(bull.node('top', [bull.node('a2', [bull.node('a1')]), bull.node('b2', [bull.node('b1')])]));
  await bull.reach('b1', 'failed');
  await bull.reach('a2', 'completed');
  await sleep(200);
  expect([await bull.state('b2'), await bull.state('top')]).toEqual(['waiting-children', 'waiting-children']);
  bull.breakJobs();
  await (await bull.queue.getJob('b1'))!.retry();
  await bull.reach('top', 'completed');
  expect(bull.ran.toSorted()).toEqual(['a1', 'a2', 'b1', 'b1', 'b2', 'top']);
});

test('removing a failed child releases its parent, which can see that it has no processed child; adding the flow again heals', async () => {
  await using bull = await openBull();
  bull.breakJobs('first');
  const seen: number[] = [];
  bull.work(async (job) => {
    bull.ran.push(job.id!);
    if (job.id === 'first' && bull.ran.length === 1) throw new UnrecoverableError('broken');
    if (job.id !== 'second') return 'ok';
    const { processed = 0 } = await job.getDependenciesCount({ processed: true });
    seen.push(processed);
    if (processed === 0) throw new UnrecoverableError('no predecessor');
    return 'ok';
  });
  const lane = bull.node('third', [bull.node('second', [bull.node('first')])]);
  await bull.flow.add(lane);
  await bull.reach('first', 'failed');
  await (await bull.queue.getJob('first'))!.remove();
  await bull.reach('second', 'failed');
  await bull.flow.add(lane);
  await bull.reach('first', 'completed');
  await (await bull.queue.getJob('second'))!.retry('failed', { resetAttemptsMade: true });
  await bull.reach('third', 'completed');
  expect(seen).toEqual([0, 1]);
});

test('adding a flow again leaves what is there alone, counts what is completed, and adds what is missing', async () => {
  await using bull = await openBull();
  bull.work();
  const parts = [bull.node('x'), bull.node('y')];
  await bull.flow.add(bull.node('p', parts));
  await bull.reach('p', 'completed');
  await (await bull.queue.getJob('p'))!.remove({ removeChildren: false });
  await bull.flow.add(bull.node('p', [...parts, bull.node('z')]));
  await bull.reach('p', 'completed');
  expect(bull.ran.toSorted()).toEqual(['p', 'p', 'x', 'y', 'z']);
});

test('ids: not an integer, no colon, and a known one is ignored', async () => {
  await using bull = await openBull();
  await expect(bull.queue.add('x', {}, { jobId: '17' })).rejects.toThrow('integers');
  await expect(bull.queue.add('x', {}, { jobId: 'a:b' })).rejects.toThrow(':');
  await bull.queue.add('x', { value: 1 }, { jobId: 'run.0.16384.x' });
  await bull.queue.add('x', { value: 2 }, { jobId: 'run.0.16384.x' });
  expect((await bull.queue.getJob('run.0.16384.x'))?.data).toEqual({ value: 1 });
  expect(await bull.queue.count()).toBe(1);
});

test('a retry gives one attempt, with resetAttemptsMade a whole series', async () => {
  await using bull = await openBull();
  bull.work(async (job) => {
    bull.ran.push(job.id!);
    throw new Error('never');
  });
  await bull.queue.add('x', {}, { jobId: 'x', attempts: 3 });
  await bull.reach('x', 'failed');
  expect(bull.ran).toHaveLength(3);
  await (await bull.queue.getJob('x'))!.retry('failed');
  await eventually(() => expect(bull.ran).toHaveLength(4));
  await bull.reach('x', 'failed');
  await (await bull.queue.getJob('x'))!.retry('failed', { resetAttemptsMade: true });
  await eventually(() => expect(bull.ran).toHaveLength(7));
  await bull.reach('x', 'failed');
});

test('only a processor of three parameters gets a signal; progress survives a retry', async () => {
  await using bull = await openBull();
  const signals: unknown[] = [];
  const two = bull.work(async (...parameters: unknown[]) => void signals.push(parameters[2]));
  await bull.queue.add('x', {}, { jobId: 'two' });
  await bull.reach('two', 'completed');
  await two.close();
  bull.work(async (job, _token, signal) => {
    signals.push(signal instanceof AbortSignal, job.progress);
    await job.updateProgress({ kept: true });
    if (job.attemptsStarted === 1) throw new UnrecoverableError('once');
  });
  await bull.queue.add('x', {}, { jobId: 'three' });
  await bull.reach('three', 'failed');
  await (await bull.queue.getJob('three'))!.retry();
  await bull.reach('three', 'completed');
  expect(signals).toEqual([undefined, true, 0, true, { kept: true }]);
});

test('global concurrency holds across workers', async () => {
  await using bull = await openBull();
  await bull.queue.setGlobalConcurrency(2);
  let running = 0;
  let most = 0;
  const processor: Processor = async () => {
    running += 1;
    most = Math.max(most, running);
    await sleep(30);
    running -= 1;
  };
  bull.work(processor, 5);
  bull.work(processor, 5);
  await bull.queue.addBulk(
    Array.from({ length: 12 }, (_, index) => ({ name: 'x', data: {}, opts: { jobId: `j${index}` } })),
  );
  await eventually(async () => expect(await bull.queue.getCompletedCount()).toBe(12));
  expect(most).toBe(2);
});

test('a flow may span queues and hang under a job that is active', async () => {
  await using bull = await openBull();
  bull.work(async (job, token) => {
    bull.ran.push(job.id!);
    if (job.id !== 'run') return 'ok';
    if (Object.keys((await job.getDependencies()).processed ?? {}).length > 0) return 'done';
    await bull.flow.addBulk([
      { ...bull.node('l2', [bull.node('l1')], { parent: { id: 'run', queue: bull.queue.qualifiedName } }) },
      { ...bull.node('m1', undefined, { parent: { id: 'run', queue: bull.queue.qualifiedName } }) },
    ]);
    const { WaitingChildrenError } = await import('bullmq');
    if (await job.moveToWaitingChildren(token!)) throw new WaitingChildrenError();
    return 'nothing pending';
  });
  await bull.queue.add('run', {}, { jobId: 'run' });
  await bull.reach('run', 'completed');
  expect((await bull.queue.getJob('run'))?.returnvalue).toBe('done');
  expect(bull.ran.toSorted()).toEqual(['l1', 'l2', 'm1', 'run', 'run']);
});
