import { expect, test } from 'vitest';
import { approval, barrier, cluster, eachDatabase } from '../../src/engine/workflow.ts';
import { PgconvoyError } from '../../src/errors.ts';
import { approveRun } from '../../src/queue/control.ts';
import { latestRun, listRuns, readRun, runLogs, workersListening } from '../../src/queue/read-run.ts';
import { stepId } from '../../src/queue/queues.ts';
import { databases, openWorld, stepOf, steps, threeSteps } from './world.ts';
import { eventually } from '../helpers/wait.ts';

const deny =
  (hint = 'Grant it.') =>
  () => {
    throw new PgconvoyError('permission denied for table fish', { hint });
  };

test('walks cluster rows, lanes, barriers and a gate in order, and sums up', async () => {
  await using world = await openWorld();
  const flow = world.workflow([
    cluster(world.operation('copy-roles', { scope: 'cluster' })),
    eachDatabase(world.operation('copy-schema')),
    eachDatabase(world.operation('copy-data', { queue: 'copy' })),
    barrier('all streaming'),
    approval('Cut over now?'),
    eachDatabase(world.operation('fence', { queue: 'cutover' })),
  ]);
  await world.work(flow, { name: 'first-worker' });
  const id = await world.start(flow, databases('a', 'My "odd" DB'));
  expect(id).toMatch(/^trial-\d{4}-\d{4}-[0-9a-z]{3}$/);

  const waiting = await world.until(id, 'waiting-approval');
  expect(waiting.stages.map((stage) => [stage.kind, stage.state])).toEqual([
    ['cluster', 'completed'],
    ['database', 'completed'],
    ['gate', 'waiting-approval'],
    ['database', 'pending'],
  ]);
  expect(stepOf(waiting, 'a', 'fence').state).toBe('pending');
  expect((await listRuns(world.queues)).map((run) => [run.id, run.state])).toEqual([[id, 'waiting-approval']]);

  expect(await approveRun(world.queues, id, 'boss@desk')).toEqual({ title: 'Cut over now?' });
  const done = await world.until(id, 'completed');
  expect(done.summary).toMatchObject({ changed: 7, unchanged: 0, findings: [] });
  expect(done.summary?.durations).toHaveLength(4);
  expect(done.stages[2]?.approval?.by).toBe('boss@desk');
  expect(done.options).toEqual({ trial: true });
  expect(stepOf(done, 'My "odd" DB', 'fence')).toMatchObject({
    state: 'completed',
    changed: true,
    worker: 'first-worker',
    attempts: 1,
  });

  const journal = await world.journal();
  expect(journal).toHaveLength(7);
  expect(journal[0]).toBe('cluster/copy-roles');
  expect(journal.slice(1, 5).toSorted()).toEqual([
    'My "odd" DB/copy-data',
    'My "odd" DB/copy-schema',
    'a/copy-data',
    'a/copy-schema',
  ]);
  expect(journal.indexOf('a/copy-schema')).toBeLessThan(journal.indexOf('a/copy-data'));
  expect(journal.slice(5).every((line) => line.endsWith('/fence'))).toBe(true);
  expect(await latestRun(world.queues)).toMatchObject({ id, state: 'completed', databases: 2 });
  expect(await workersListening(world.queues)).toEqual({ count: 1, names: ['first-worker'] });
});

test('stages alongside each other run at the same time, and what is behind waits for both', async () => {
  await using world = await openWorld();
  const flow = world.workflow([
    eachDatabase(world.operation('look'), {}, { alongside: true }),
    cluster(world.operation('prove', { scope: 'cluster' })),
    barrier('nothing blocks'),
    eachDatabase(world.operation('copy')),
  ]);
  // None of the three ends before all have begun.
  const all = () => eventually(async () => expect(await world.begun()).toHaveLength(3));
  world.on('look', all);
  world.on('prove', async (_context, attempt) => {
    if (attempt > 1) return;
    await all();
    deny()();
  });
  await world.work(flow);
  const id = await world.start(flow, databases('a', 'b'));
  const failed = await world.until(
    id,
    (run) => run.stages[0]?.state === 'completed' && stepOf(run, undefined, 'prove').state === 'failed',
  );
  expect(failed.stages.map(({ title, state }) => [title, state])).toEqual([
    ['look holds', 'completed'],
    ['nothing blocks', 'running'],
    ['copy holds', 'pending'],
  ]);

  // As a board does it; then nothing is left to wait for.
  await (await world.queues.operation.getJob(stepId(id, 1, undefined, 'prove')))?.remove();
  expect((await world.until(id, 'failed')).error).toMatchObject({ name: 'PredecessorMissing' });
  await world.retry(id, flow);
  await world.until(id, 'completed');
  expect((await world.journal()).map((line) => line.split('/')[1])).toEqual(['look', 'look', 'prove', 'copy', 'copy']);
});

test('a second run of the same changes nothing and says so', async () => {
  await using world = await openWorld();
  const flow = threeSteps(world);
  await world.work(flow);
  await world.until(await world.start(flow, databases('a', 'b')), 'completed');
  const again = await world.until(await world.start(flow, databases('a', 'b')), 'completed');
  expect(again.summary).toMatchObject({ changed: 0, unchanged: 6 });
  expect(await world.journal()).toHaveLength(6);
});

test('two lanes fail, the others reach the barrier; retry finishes the run and repeats nothing', async () => {
  await using world = await openWorld();
  const flow = world.workflow([
    eachDatabase(world.operation('one')),
    eachDatabase(world.operation('two')),
    barrier('all here'),
    eachDatabase(world.operation('three')),
  ]);
  world.on('b/two', deny());
  world.on('d/one', deny('Ask the owner.'));
  await world.work(flow);
  const names = ['a', 'b', 'c', 'd', 'e'];
  const id = await world.start(flow, databases(...names));
  const stuck = await world.until(id, (run) => run.state === 'failed-steps' && stepsIn(run, 'completed') === 7);
  expect(stepOf(stuck, 'b', 'two')).toMatchObject({
    state: 'failed',
    attempts: 1,
    error: { message: 'permission denied for table fish', hint: 'Grant it.', name: 'PgconvoyError', exitCode: 1 },
  });
  expect(stepOf(stuck, 'd', 'two').state).toBe('pending');
  expect(stuck.stages[1]?.state).toBe('pending');
  // What a board shows is enough to act on.
  const job = await world.queues.operation.getJob(stepOf(stuck, 'b', 'two').id);
  expect(job?.failedReason).toBe('permission denied for table fish\n  → Grant it.');
  expect(job?.stacktrace).toEqual([]);
  expect((await runLogs(world.queues, id, { database: 'b' })).map((line) => line.text.split(':')[0])).toContain(
    'failed for good',
  );

  world.calm('b/two');
  world.calm('d/one');
  const result = await world.retry(id, flow);
  expect(result.retried).toEqual([
    { key: 'two', database: 'b' },
    { key: 'one', database: 'd' },
  ]);
  const done = await world.until(id, 'completed');
  expect(stepsIn(done, 'completed')).toBe(15);
  const journal = await world.journal();
  expect(new Set(journal).size).toBe(journal.length);
  expect(journal).toHaveLength(15);
  expect((await world.retry(id, flow)).retried).toEqual([]);
});

test('retry of one database leaves the others, and knows what is not there', async () => {
  await using world = await openWorld();
  const flow = threeSteps(world);
  world.on('two', deny());
  await world.work(flow);
  const id = await world.start(flow, databases('a', 'b'));
  await world.until(id, (run) => stepsIn(run, 'failed') === 2);
  world.calm('two');
  expect((await world.retry(id, flow, { database: 'b' })).retried).toEqual([{ key: 'two', database: 'b' }]);
  await world.until(id, (run) => stepOf(run, 'b', 'three').state === 'completed');
  expect(stepOf(await readRun(world.queues, id), 'a', 'two').state).toBe('failed');
  await expect(world.retry(id, flow, { database: 'nope' })).rejects.toThrow('has no database "nope"');
  expect((await world.retry(id, flow, { step: 'two' })).retried).toEqual([{ key: 'two', database: 'a' }]);
  await world.until(id, 'completed');
});

test('a passing error is tried again by itself; a defect too, and its stack trace is only in the log', async () => {
  await using world = await openWorld();
  const flow = threeSteps(world);
  world.on('a/one', (_context, attempt) => {
    if (attempt < 3) throw new PgconvoyError('connection lost', { hint: 'Nothing to do.', disposition: 'retry' });
  });
  world.on('b/two', () => {
    throw new TypeError('cannot read x of postgres://me:geheim@host/db');
  });
  await world.work(flow);
  const id = await world.start(flow, databases('a', 'b'));
  const run = await world.until(
    id,
    (view) => stepOf(view, 'a', 'three').state === 'completed' && stepOf(view, 'b', 'two').state === 'failed',
  );
  const one = stepOf(run, 'a', 'one');
  expect(one).toMatchObject({ state: 'completed', attempts: 3 });
  expect(one.error).toBeUndefined();
  expect(one.attemptTimes.map((attempt) => attempt.outcome)).toEqual(['retry', 'retry', 'completed']);
  const two = stepOf(run, 'b', 'two');
  expect(two).toMatchObject({
    attempts: 5,
    error: { name: 'TypeError', message: 'Unexpected: cannot read x of postgres://***@host/db' },
  });
  expect(await world.everything()).not.toContain('geheim');
  expect(await world.everything()).not.toContain('world.ts:');
  expect(world.logged.join('')).toContain('world.ts:');
  expect(world.logged.join('')).not.toContain('geheim');
});

test('waiting for what somebody holds uses up no attempt, and ends at the deadline', async () => {
  await using world = await openWorld();
  const flow = threeSteps(world);
  const held = (context: { source: { name: string } }, attempt: number) => {
    if (context.source.name === 'b' || attempt < 9) {
      throw new PgconvoyError('session 4711 holds table fish', { hint: 'End session 4711.', disposition: 'wait' });
    }
  };
  world.on('one', held);
  await world.work(flow, { waitDeadlineMs: 1_500 });
  const id = await world.start(flow, databases('a', 'b'));
  const run = await world.until(
    id,
    (view) => stepOf(view, 'a', 'three').state === 'completed' && stepOf(view, 'b', 'one').state === 'failed',
  );
  expect(stepOf(run, 'a', 'one')).toMatchObject({ attempts: 9, state: 'completed' });
  expect(stepOf(run, 'b', 'one').attempts).toBeGreaterThan(9);
  expect(stepOf(run, 'b', 'one').error).toMatchObject({ name: 'DeadlineExceeded', hint: 'End session 4711.' });
  expect(stepOf(run, 'b', 'one').error?.message).toMatch(
    /^session 4711 holds table fish \(asked \d+ times in 1\.\d s\)$/,
  );
  // A retry by a person has a whole deadline again.
  world.calm('one');
  await world.retry(id, flow);
  await world.until(id, 'completed');
});

test('findings are kept by a step that they block, and do not block where the row only reports', async () => {
  await using world = await openWorld();
  const finding = {
    code: 'no-identity',
    severity: 'block',
    side: 'source',
    database: 'a',
    object: 'public.fish',
    message: 'fish has no identity',
    remedy: 'ALTER TABLE …',
  } as const;
  const blocking = world.workflow([
    eachDatabase(
      world.preflight('check-identity', (name) => (name === 'a' ? [finding] : [])),
      {},
      { findings: 'block' },
    ),
  ]);
  const worker = await world.work(blocking);
  const stuck = await world.until(await world.start(blocking, databases('a', 'b')), 'failed-steps');
  expect(stepOf(stuck, 'a', 'check-identity')).toMatchObject({
    state: 'failed',
    attempts: 1,
    findings: [finding],
    error: { exitCode: 3, hint: 'ALTER TABLE …' },
  });
  await worker.stop();
  const reporting = world.workflow([
    eachDatabase(world.preflight('check-identity', (name) => (name === 'a' ? [finding] : []))),
  ]);
  await world.work(reporting);
  // A run that only looks is in nobody's way.
  const done = await world.until(await world.start(reporting, databases('a', 'b')), 'completed');
  expect(done.summary).toMatchObject({ changed: 0, unchanged: 2, findings: [finding] });
});

test('progress is stored a few times a second, whatever the rate, and the last of it stays', async () => {
  await using world = await openWorld();
  const flow = world.workflow([eachDatabase(world.operation('copy-data', { queue: 'copy' }))]);
  world.on('copy-data', async (context) => {
    for (let done = 1; done <= 1_000; done += 1) {
      context.progress({ done, total: 1_000, unit: 'bytes' });
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  });
  await world.work(flow);
  const id = await world.start(flow, databases('a'));
  const early = await world.until(id, (run) => (stepOf(run, 'a', 'copy-data').progress?.done ?? 0) > 0);
  expect(stepOf(early, 'a', 'copy-data').state).toBe('active');
  const done = await world.until(id, 'completed');
  expect(stepOf(done, 'a', 'copy-data').progress).toEqual({ done: 1_000, total: 1_000, unit: 'bytes' });
  const stored = await world.progressStored('copy');
  expect(stored).toBeGreaterThan(1);
  const { startedAt = 0, finishedAt = 0 } = stepOf(done, 'a', 'copy-data');
  expect(stored).toBeLessThan((finishedAt - startedAt) / 350 + 3);
});

test('a lane that has begun ends before a new one begins', async () => {
  await using world = await openWorld();
  const flow = world.workflow([
    eachDatabase(world.operation('one')),
    eachDatabase(world.operation('two')),
    eachDatabase(world.operation('three')),
  ]);
  const id = await world.start(flow, databases(...Array.from({ length: 30 }, (_, index) => `d${index}`)));
  await world.work(flow);
  await world.until(id, 'completed');
  const journal = await world.journal();
  const firstEnd = journal.findIndex((line) => line.endsWith('/three'));
  const begunBefore = journal.slice(0, firstEnd).filter((line) => line.endsWith('/one')).length;
  // Eight at once: some more may have begun while those moved on, but not all thirty.
  expect(begunBefore).toBeLessThan(20);
});

test("the cluster's next step goes ahead of databases that wait for a worker beside it", async () => {
  await using world = await openWorld();
  const flow = world.workflow([
    cluster(world.operation('first', { scope: 'cluster' })),
    cluster(world.operation('prove', { scope: 'cluster' }), {}, { alongside: true }),
    eachDatabase(world.operation('look')),
  ]);
  // With the first step they take all eight places, and make room only for the next one.
  world.on('first', () => eventually(async () => expect((await world.begun()).length).toBeGreaterThanOrEqual(8)));
  world.on('look', () => eventually(async () => expect(await world.begun()).toContain('cluster/prove')));
  const id = await world.start(flow, databases(...Array.from({ length: 12 }, (_, index) => `d${index}`)));
  await world.work(flow);
  await world.until(id, 'completed');
  expect((await world.journal())[0]).toBe('cluster/first');
});

test('a second run that changes one of the same databases is refused by name; one that only looks, or others, are not', async () => {
  await using world = await openWorld();
  const flow = threeSteps(world);
  const looks = { ...world.workflow([eachDatabase(world.preflight('look', () => []))]), name: 'check' };
  const [a, b, c] = databases('a', 'b', 'c');
  const first = await world.start(flow, [a!, b!]);
  await expect(world.start(flow, [b!, c!])).rejects.toMatchObject({
    message: `Run ${first} (trial, started by somebody@here) is not finished and works on the same databases: "b".`,
    hint: expect.stringContaining(`pgconvoy cancel ${first}`),
  });
  await world.start(looks, [b!]);
  await world.start(flow, [c!]);
  const race = await Promise.allSettled(Array.from({ length: 5 }, () => world.start(flow, [{ oid: 99, name: 'x' }])));
  expect(race.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
  await world.cancel(first, flow);
  await world.start(flow, [b!]);
});

test("a run that its checks hold up before it changed anything is in nobody's way, and must ask before it goes on", async () => {
  await using world = await openWorld();
  const finding = {
    code: 'no-key',
    severity: 'block',
    side: 'source',
    message: 'No key.',
    remedy: 'Add one.',
  } as const;
  let mended = false;
  const check = world.preflight('check-identity', () => (mended ? [] : [finding]));
  const held = world.workflow([
    eachDatabase(check, {}, { findings: 'block' }),
    barrier('Nothing blocks'),
    eachDatabase(world.operation('setup')),
  ]);
  const fix = { ...world.workflow([eachDatabase(world.operation('fix'))]), name: 'fix' };
  await world.work([held, fix]);
  const first = await world.start(held, databases('a'));
  await world.until(first, 'failed-steps');
  world.on('fix', () => new Promise((resolve) => setTimeout(resolve, 500)));
  const second = await world.start(fix, databases('a'));
  await expect(world.retry(first, held)).rejects.toThrow(`Run ${second} (fix`);
  await world.until(second, 'completed');
  mended = true;
  await world.retry(first, held);
  await world.until(first, 'completed');
});

test('a gate asks nobody where every database has observed what makes it needless, and asks where one has not', async () => {
  await using world = await openWorld();
  const flow = world.workflow([
    eachDatabase(world.observing('look', (name) => ({ opened: name !== 'closed' }))),
    approval('Go?', 'opened'),
    eachDatabase(world.operation('go')),
  ]);
  await world.work(flow);
  const all = await world.until(await world.start(flow, databases('a', 'b')), 'completed');
  expect(all.stages[1]).toMatchObject({
    kind: 'gate',
    approval: { by: expect.stringContaining('nothing to approve') },
  });
  const some = await world.until(
    await world.start(flow, [
      { oid: 1, name: 'c' },
      { oid: 2, name: 'closed' },
    ]),
    'waiting-approval',
  );
  expect(await world.journal()).toEqual(expect.not.arrayContaining(['c/go']));
  await approveRun(world.queues, some.id, 'boss');
  await world.until(some.id, 'completed');
});

test('approving says what it cannot approve; a gate promoted by somebody else stays shut', async () => {
  await using world = await openWorld();
  const flow = world.workflow([
    eachDatabase(world.operation('one')),
    approval('Go?'),
    eachDatabase(world.operation('two')),
  ]);
  const id = await world.start(flow, databases('a'));
  await expect(approveRun(world.queues, id, 'boss')).rejects.toThrow('does not wait for an approval yet');
  await expect(approveRun(world.queues, 'nope', 'boss')).rejects.toThrow('There is no run "nope"');
  await world.work(flow);
  await world.until(id, 'waiting-approval');
  const gate = await world.queues.gate.getJob(`${id}.1.gate`);
  await gate?.promote();
  await eventually(async () =>
    expect(Number((await world.queues.gate.getJob(`${id}.1.gate`))?.attemptsStarted)).toBe(1),
  );
  await world.until(id, 'waiting-approval');
  expect(await world.journal()).toEqual(['a/one']);
  await approveRun(world.queues, id, 'boss');
  await world.until(id, 'completed');
  await expect(approveRun(world.queues, id, 'other')).rejects.toThrow(/already approved, by boss at 20/);
});

test('a run of a version whose workflow had other steps is refused with the way out', async () => {
  await using world = await openWorld();
  const old = world.workflow([eachDatabase(world.operation('one'))]);
  const current = world.workflow([eachDatabase(world.operation('one')), eachDatabase(world.operation('two'))]);
  const id = await world.start(old, databases('a'));
  await world.work(current);
  const run = await world.until(id, 'failed');
  expect(run.error?.message).toContain('in this version the workflow "trial" has other steps');
  expect(run.error?.hint).toContain('Start a new run');
  await world.until(await world.start(current, databases('a')), 'completed');
});

const stepsIn = (run: Parameters<typeof steps>[0], state: string): number =>
  steps(run).filter((step) => step.state === state).length;
