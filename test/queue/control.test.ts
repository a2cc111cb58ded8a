import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { approval, eachDatabase, undo } from '../../src/engine/workflow.ts';
import { PgconvoyError } from '../../src/errors.ts';
import { approveRun, cancelRun } from '../../src/queue/control.ts';
import { listRuns, readRun } from '../../src/queue/read-run.ts';
import { stepId } from '../../src/queue/queues.ts';
import { databases, openWorld, stepOf, steps, threeSteps } from './world.ts';
import type { Behaviour } from './world.ts';
import { eventually } from '../helpers/wait.ts';

const forever: Behaviour = (context) => sleep(600_000, undefined, { signal: context.signal });

test('cancel stops what runs, begins nothing more; resume goes on where it was and repeats nothing', async () => {
  await using world = await openWorld();
  const flow = threeSteps(world);
  world.on('b/two', forever);
  world.on('c/one', () => {
    throw new PgconvoyError('no', { hint: 'yes' });
  });
  await world.work(flow);
  const id = await world.start(flow, databases('a', 'b', 'c'));
  await world.until(
    id,
    (run) =>
      stepOf(run, 'a', 'three').state === 'completed' &&
      stepOf(run, 'b', 'two').state === 'active' &&
      stepOf(run, 'c', 'one').state === 'failed',
  );
  const result = await world.cancel(id, flow);
  expect(result).toEqual({ stopping: [{ key: 'two', database: 'b' }] });
  const cancelled = await world.until(id, 'cancelled');
  expect(stepOf(cancelled, 'b', 'two').state).toBe('cancelled');
  expect(stepOf(cancelled, 'b', 'three').state).toBe('pending');
  expect(cancelled.cancel?.by).toBe('somebody@here');
  expect((await listRuns(world.queues))[0]?.state).toBe('cancelled');
  expect((await world.cancel(id, flow)).already).toBe('somebody@here');
  await expect(world.retry(id, flow)).rejects.toMatchObject({ hint: `pgconvoy resume ${id} goes on with it.` });

  world.calm('b/two');
  world.calm('c/one');
  const resumed = await world.resume(id, flow);
  expect(resumed.retried).toEqual([
    { key: 'two', database: 'b' },
    { key: 'one', database: 'c' },
  ]);
  await world.until(id, 'completed');
  const journal = await world.journal();
  expect(journal).toHaveLength(9);
  expect(new Set(journal).size).toBe(9);
  await expect(world.cancel(id, flow)).rejects.toThrow('is completed');
  await expect(world.resume(id, flow)).rejects.toThrow('is not cancelled');
});

test('a run cancelled before a worker saw it, or at a gate, does nothing until it is resumed', async () => {
  await using world = await openWorld();
  const flow = world.workflow([
    eachDatabase(world.operation('one')),
    approval('Go?'),
    eachDatabase(world.operation('two')),
  ]);
  const id = await world.start(flow, databases('a'));
  await world.cancel(id, flow);
  await world.work(flow);
  await eventually(async () => expect(await (await world.queues.run.getJob(id))?.getState()).toBe('failed'));
  expect(await world.journal()).toEqual([]);
  expect((await readRun(world.queues, id)).state).toBe('cancelled');
  expect((await world.resume(id, flow)).run).toBe(true);
  await world.until(id, 'waiting-approval');
  await world.cancel(id, flow);
  await expect(approveRun(world.queues, id, 'boss')).rejects.toThrow('is cancelled');
  await world.resume(id, flow);
  await approveRun(world.queues, id, 'boss');
  await world.until(id, 'completed');
});

test('what a cancel takes back begins when nothing of the run is active, and forbids to resume when it changed anything', async () => {
  await using world = await openWorld();
  const fence = eachDatabase(world.operation('fence', { queue: 'cutover' }));
  const flow = world.workflow([fence, eachDatabase(world.operation('wait-lsn', { queue: 'cutover' }))], [undo(fence)]);
  let stopped = 0;
  let undone = 0;
  let letGo = () => {};
  const released = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  // A step that takes its time to stop.
  world.on('b/wait-lsn', async (context) => {
    await forever(context, 1)?.catch(() => undefined);
    await released;
    stopped = Date.now();
    context.signal.throwIfAborted();
  });
  world.on('undo:fence', () => {
    undone ||= Date.now();
  });
  await world.work(flow);
  const id = await world.start(flow, databases('a', 'b'));
  await world.until(
    id,
    (run) => stepOf(run, 'b', 'wait-lsn').state === 'active' && stepOf(run, 'a', 'wait-lsn').state === 'completed',
  );
  const result = await world.cancel(id, flow);
  expect(result.undoneBy).toBe(`${id}-undo`);
  expect((await readRun(world.queues, id)).state).toBe('cancelling');
  await expect(world.resume(id, flow)).rejects.toThrow('is still being cancelled');
  await expect(world.start(flow, databases('a'))).rejects.toThrow(/is not finished|is still stopping/);
  letGo();
  const undoRun = await world.until(`${id}-undo`, 'completed');
  expect(undoRun).toMatchObject({ undoes: id, workflow: 'trial', summary: { changed: 2 } });
  expect(stopped).toBeGreaterThan(0);
  expect(undone).toBeGreaterThanOrEqual(stopped);
  expect(await world.until(id, 'cancelled')).toMatchObject({ undoneBy: `${id}-undo` });
  await expect(world.resume(id, flow)).rejects.toMatchObject({
    message: expect.stringContaining('has taken back some of what'),
    hint: expect.stringContaining('Start a new run'),
  });
  // The new run does it all.
  world.calm('b/wait-lsn');
  const again = await world.until(await world.start(flow, databases('a', 'b')), 'completed');
  expect(again.summary).toMatchObject({ changed: 3, unchanged: 1 });
});

test('where the cancel had nothing to take back, the run can be resumed, and cancelled again', async () => {
  await using world = await openWorld();
  const fence = eachDatabase(world.operation('fence', { queue: 'cutover' }));
  const flow = world.workflow([eachDatabase(world.operation('one')), fence], [undo(fence)]);
  world.on('one', forever);
  await world.work(flow);
  const id = await world.start(flow, databases('a'));
  await world.until(id, (run) => stepOf(run, 'a', 'one').state === 'active');
  await world.cancel(id, flow);
  await world.until(`${id}-undo`, 'completed');
  await world.resume(id, flow);
  await world.until(id, (run) => stepOf(run, 'a', 'one').state === 'active');
  expect((await world.cancel(id, flow)).undoneBy).toBe(`${id}-undo-2`);
  await world.until(`${id}-undo-2`, 'completed');
  world.calm('one');
  await world.resume(id, flow);
  await world.until(id, 'completed');
});

test('a cancel that died in the middle is completed by cancelling again, and cannot be resumed before', async () => {
  await using world = await openWorld();
  const fence = eachDatabase(world.operation('fence'));
  const flow = world.workflow([fence], [undo(fence)]);
  const id = await world.start(flow, databases('a'));
  await world.cancel(id, flow);
  await (await world.queues.run.getJob(`${id}-undo`))?.remove();
  await expect(world.resume(id, flow)).rejects.toMatchObject({
    hint: expect.stringContaining(`pgconvoy cancel ${id}`),
  });
  expect((await world.cancel(id, flow)).undoneBy).toBe(`${id}-undo`);
  await world.work(flow);
  await world.until(`${id}-undo`, 'completed');
  await world.resume(id, flow);
  await world.until(id, 'completed');
});

test('resume is refused while another run works on the same databases', async () => {
  await using world = await openWorld();
  const flow = threeSteps(world);
  const first = await world.start(flow, databases('a'));
  await world.cancel(first, flow);
  const second = await world.start(flow, databases('a'));
  await expect(world.resume(first, flow)).rejects.toThrow(
    `Run ${second} (trial, started by somebody@here) is not finished`,
  );
  await expect(
    cancelRun(world.queues, 'nope', {
      workflows: [],
      by: 'me',
      version: '0',
      budgets: { copies: 1, tableWorkers: 1, indexWorkers: 1, operations: 1, cutovers: 1 },
    }),
  ).rejects.toThrow('There is no run "nope"');
});

test('a failed step removed by a board does not let the next one through; retry puts it back and runs it first', async () => {
  await using world = await openWorld();
  const flow = threeSteps(world);
  world.on('a/one', () => {
    throw new PgconvoyError('no', { hint: 'yes' });
  });
  await world.work(flow);
  const id = await world.start(flow, databases('a', 'b'));
  const failed = await world.until(
    id,
    (run) => stepOf(run, 'a', 'one').state === 'failed' && stepOf(run, 'b', 'three').state === 'completed',
  );
  await (await world.queues.operation.getJob(stepOf(failed, 'a', 'one').id))?.remove();
  const refused = await world.until(id, (run) => stepOf(run, 'a', 'two').state === 'failed');
  expect(stepOf(refused, 'a', 'two')).toMatchObject({
    attempts: 1,
    error: {
      name: 'PredecessorMissing',
      message: expect.stringContaining('was removed from the queue before it succeeded'),
      hint: expect.stringContaining(`pgconvoy retry ${id}`),
    },
  });
  expect(await world.journal()).not.toContain('a/two');

  world.calm('a/one');
  const result = await world.retry(id, flow);
  expect(result).toEqual({
    restored: [{ key: 'one', database: 'a' }],
    retried: [{ key: 'two', database: 'a' }],
    run: false,
  });
  await world.until(id, 'completed');
  expect((await world.journal()).filter((line) => line.startsWith('a/'))).toEqual(['a/one', 'a/two', 'a/three']);
});

test('a failed last step removed by a board does not let the run through; retry puts it back', async () => {
  await using world = await openWorld();
  const flow = world.workflow([
    eachDatabase(world.operation('one')),
    approval('Go?'),
    eachDatabase(world.operation('two')),
  ]);
  world.on('a/one', () => {
    throw new PgconvoyError('no', { hint: 'yes' });
  });
  await world.work(flow);
  const id = await world.start(flow, databases('a', 'b'));
  await world.until(
    id,
    (run) => stepOf(run, 'a', 'one').state === 'failed' && stepOf(run, 'b', 'one').state === 'completed',
  );
  await (await world.queues.operation.getJob(stepId(id, 0, databases('a')[0], 'one')))?.remove();
  const refused = await world.until(id, 'failed');
  expect(refused.error).toMatchObject({
    name: 'PredecessorMissing',
    hint: expect.stringContaining(`pgconvoy retry ${id}`),
  });
  expect(await world.queues.gate.getJob(`${id}.1.gate`)).toBeUndefined();

  world.calm('a/one');
  expect(await world.retry(id, flow)).toEqual({ restored: [{ key: 'one', database: 'a' }], retried: [], run: true });
  await world.until(id, 'waiting-approval');
  await (await world.queues.gate.getJob(`${id}.1.gate`))?.remove();
  await world.until(id, 'failed');
  await world.retry(id, flow);
  await world.until(id, 'waiting-approval');
  await approveRun(world.queues, id, 'boss');
  const done = await world.until(id, 'completed');
  expect(steps(done).every((step) => step.state === 'completed')).toBe(true);
});
