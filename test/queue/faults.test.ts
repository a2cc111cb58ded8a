import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { listRuns } from '../../src/queue/read-run.ts';
import { bundled } from '../helpers/bundled.ts';
import { queueConfigOf } from '../helpers/queue-database.ts';
import { startCluster, startRedis } from '../helpers/servers.ts';
import { eventually } from '../helpers/wait.ts';
import { databases, onRedis, openWorld, stepOf, threeSteps } from './world.ts';
import type { World } from './world.ts';

const holdKey = (world: World, place: string) => `${world.prefix}-world:hold:${place}`;

/** Each costs the time after which others take over; that it may happen again is the same wherever the jobs are. */
const KILLS = onRedis() ? 3 : 1;

let workerProcess: Promise<string> | undefined;

/** Starts a worker process and resolves when it listens. */
async function startProcess(world: World): Promise<ChildProcess> {
  workerProcess ??= bundled('test/queue/worker-process.ts');
  const child = spawn(process.execPath, [await workerProcess, world.url, world.prefix, JSON.stringify(world.config)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout!.on('data', (data: Buffer) => {
    said += data.toString();
  });
  await eventually(() => expect(said).toContain('ready'), { timeoutMs: 20_000 });
  return child;
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

test('kill -9 of the worker in the middle of a step, again and again: another takes over, nothing that succeeded runs again', async () => {
  await using world = await openWorld();
  const flow = threeSteps(world);
  await world.redis.set(holdKey(world, 'a/two'), '1');
  const id = await world.start(flow, databases('a', 'b'));
  for (let kill = 1; kill <= KILLS; kill += 1) {
    const child = await startProcess(world);
    try {
      await eventually(
        async () => expect((await world.begun()).filter((line) => line === 'a/two')).toHaveLength(kill),
        { timeoutMs: 20_000 },
      );
      // Only a/two is to be hit.
      await world.until(id, (run) => stepOf(run, 'b', 'three').state === 'completed');
    } finally {
      await end(child, 'SIGKILL');
    }
  }
  await world.redis.del(holdKey(world, 'a/two'));
  await world.work(flow);
  const done = await world.until(id, 'completed');
  expect(stepOf(done, 'a', 'two')).toMatchObject({ attempts: KILLS + 1, state: 'completed' });
  const journal = await world.journal();
  expect(journal.toSorted()).toEqual(['a/one', 'a/three', 'a/two', 'b/one', 'b/three', 'b/two']);
  expect((await world.begun()).filter((line) => line !== 'a/two')).toHaveLength(5);
}, 90_000);

test('a worker that is told to stop hands its step over; another goes on within two seconds', async () => {
  await using world = await openWorld();
  const flow = threeSteps(world);
  await world.redis.set(holdKey(world, 'a/two'), '1');
  const id = await world.start(flow, databases('a'));
  const child = await startProcess(world);
  try {
    await world.until(id, (run) => stepOf(run, 'a', 'two').state === 'active');
    await world.work(flow, { name: 'second' });
    const asked = Date.now();
    await end(child, 'SIGTERM');
    expect(child.exitCode).toBe(0);
    const taken = await world.until(
      id,
      (run) => stepOf(run, 'a', 'two').state === 'active' && stepOf(run, 'a', 'two').worker === 'second',
    );
    expect(Date.now() - asked).toBeLessThan(2_000);
    expect(stepOf(taken, 'a', 'two').attempts).toBe(2);
  } finally {
    await end(child, 'SIGKILL');
  }
  await world.redis.del(holdKey(world, 'a/two'));
  const done = await world.until(id, 'completed');
  expect(stepOf(done, 'a', 'two').attemptTimes.map((attempt) => attempt.outcome)).toEqual(['handed-over', 'completed']);
});

test('a step that does not listen to its signal does not keep a stopping worker', async () => {
  await using world = await openWorld();
  const flow = threeSteps(world);
  let release = () => {};
  const deaf = new Promise<void>((resolve) => {
    release = resolve;
  });
  world.on('one', () => deaf);
  const workers = await world.work(flow, { times: { grace: 300 } });
  const id = await world.start(flow, databases('a'));
  await world.until(id, (run) => stepOf(run, 'a', 'one').state === 'active');
  const asked = Date.now();
  await workers.stop();
  expect(Date.now() - asked).toBeLessThan(1_500);
  world.calm('one');
  release();
  await world.work(flow);
  await world.until(id, 'completed');
});

test('a lost lock aborts the step; whoever has the job now finishes it', async () => {
  await using world = await openWorld();
  const flow = threeSteps(world);
  let aborted: unknown;
  let first = true;
  world.on('one', async (context) => {
    if (!first) return;
    first = false;
    await sleep(60_000, undefined, { signal: context.signal }).catch(() => undefined);
    aborted = context.signal.reason;
    context.signal.throwIfAborted();
  });
  await world.work(flow);
  const id = await world.start(flow, databases('a'));
  const active = await world.until(id, (run) => stepOf(run, 'a', 'one').state === 'active');
  await world.takeLock('operation', stepOf(active, 'a', 'one').id, 3_000);
  await eventually(() => expect(aborted).toBe('lock-lost'));
  await world.until(id, 'completed');
  expect(await world.journal()).toEqual(['a/one', 'a/two', 'a/three']);
});

const serverOfItsOwn = () =>
  onRedis() ? startRedis({ name: 'queue-restart' }) : startCluster({ major: 15, name: 'queue-restart' });

test('a restart and a crash of the queue in the middle of a step: the worker comes back by itself, the run is there', async () => {
  await using server = await serverOfItsOwn();
  await using world = await openWorld(
    'url' in server ? { url: server.url } : { place: queueConfigOf(server, 'postgres') },
  );
  const flow = threeSteps(world);
  world.on('a/two', () => sleep(4_000));
  const names = Array.from({ length: 6 }, (_, index) => String.fromCodePoint(97 + index));
  await world.work(flow, { times: { lockDuration: 10_000 } });
  const id = await world.start(flow, databases(...names));
  await world.until(id, (run) => stepOf(run, 'a', 'two').state === 'active');
  await server.restart();
  await world.until(id, (run) => stepOf(run, 'a', 'two').state === 'active');
  await server.kill();
  await sleep(500);
  await server.start();
  await world.until(id, 'completed', 40_000);
  const journal = await world.journal();
  expect(new Set(journal).size).toBe(18);
  expect(await listRuns(world.queues)).toHaveLength(1);
}, 60_000);

test('idle: only when nothing runs, waits or will be tried again; a gate may wait', async () => {
  await using world = await openWorld();
  const flow = threeSteps(world);
  await world.redis.set(holdKey(world, 'a/two'), '1');
  const workers = await world.work(flow);
  expect(await workers.idle()).toBe(true);
  const id = await world.start(flow, databases('a'));
  await world.until(id, (run) => stepOf(run, 'a', 'two').state === 'active');
  expect(await workers.idle()).toBe(false);
  await world.redis.del(holdKey(world, 'a/two'));
  await world.until(id, 'completed');
  await eventually(async () => expect(await workers.idle()).toBe(true));
});
