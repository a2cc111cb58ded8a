import { describe, expect, test } from 'vitest';
import { makespan, predictionOf } from '../../../src/cli/rehearsal/prediction.ts';
import { runDocument } from '../../../src/cli/render/documents.ts';
import { renderOutcome } from '../../../src/cli/render/outcome.ts';
import { plain } from '../../../src/cli/render/style.ts';
import type { StepView } from '../../../src/queue/types.ts';
import { lane, NOW, run, stage } from './views.ts';

const took = (milliseconds: number, more: Partial<StepView> = {}): Partial<StepView> => ({
  state: 'completed',
  startedAt: NOW,
  finishedAt: NOW + milliseconds,
  ...more,
});
const foreseen = { opened: false, sessions: 3, superusers: 0, transactions: 1, atOnce: 2, outageMs: 1_000 };
const rehearsed = (database: string, sequencesMs: number, more: Record<string, Partial<StepView>> = {}) =>
  lane(database, {
    'check-drift': took(50),
    'foresee-fence': took(10, { output: foreseen }),
    'hold-target': took(40, { output: { lsn: '0/1' } }),
    'copy-sequences': took(sequencesMs),
    'copy-database-privileges': took(10),
    'undo-hold-target': took(70),
    ...more,
  });
const view = (steps: readonly StepView[], options = {}) =>
  run({
    workflow: 'rehearse',
    state: 'completed',
    finishedAt: NOW,
    options: { rehearsal: true, ...options },
    stages: [stage(0, { state: 'completed', steps })],
    summary: { changed: 8, unchanged: 4, findings: [], durations: [] },
  });

test('the outage of a database is what its steps took behind the target that was held, and an estimate of the fence', () => {
  const prediction = predictionOf(
    view([...rehearsed('a', 100), ...rehearsed('My "odd" DB', 300), ...rehearsed('c', 200)]),
  )!;
  expect(
    prediction.databases.map(({ database, milliseconds, estimatedMs }) => [database, milliseconds, estimatedMs]),
  ).toEqual([
    ['My "odd" DB', 400, 50],
    ['c', 300, 50],
    ['a', 200, 50],
  ]);
  expect(prediction.databases[0]!.steps).toEqual([
    { step: 'hold-target', milliseconds: 40 },
    { step: 'copy-sequences', milliseconds: 300 },
    { step: 'copy-database-privileges', milliseconds: 10 },
  ]);
  // Two at a time, in the order of the run: a, then c behind it; beside them the odd one.
  expect(prediction).toMatchObject({
    atOnce: 2,
    own: { medianMs: 300, worstMs: 400, wholeMs: 500 },
    // Once: the estimate, holding and privileges; two at a time: the sequences of each, and a look.
    together: { worstMs: 420, onceMs: 100, eachMs: 320 },
    deadlineMs: 1_000,
    without: [],
    leftOut: [],
    warnings: [],
  });
});

test('makespan', () => {
  expect(makespan([5, 1, 1, 1, 1, 1], 2)).toBe(5);
  expect(makespan([3, 3, 3], 2)).toBe(6);
  expect(makespan([3], 8)).toBe(3);
});

test('of an attempt that was repeated the last one counts', () => {
  const again = took(100, {
    attempts: 2,
    attemptTimes: [
      { attempt: 1, startedAt: NOW - 60_000, finishedAt: NOW - 59_000, outcome: 'retry' },
      { attempt: 2, startedAt: NOW, finishedAt: NOW + 100 },
    ],
  });
  expect(predictionOf(view(rehearsed('a', 1, { 'copy-sequences': again })))!.own.worstMs).toBe(200);
});

test('databases that were not measured to the end are named, and those that are open already have none', () => {
  const opened = { opened: true, sessions: 0, superusers: 0, transactions: 0, atOnce: 2, outageMs: 1_000 };
  const prediction = predictionOf(
    view([
      ...rehearsed('a', 100),
      ...rehearsed('failed', 1, { 'copy-sequences': { state: 'failed' } }),
      ...rehearsed('opened', 1, { 'foresee-fence': took(1, { output: opened }) }),
    ]),
  )!;
  expect(prediction.databases.map(({ database }) => database)).toEqual(['a']);
  expect(prediction.without).toEqual(['failed', 'opened']);
  expect(predictionOf(view(lane('a', { 'fence-source': took(1), 'open-target': took(1) })))).toBeUndefined();
});

describe('warnings', () => {
  test('a database that would be late', () => {
    const { warnings } = predictionOf(view(rehearsed('slow', 2_000)))!;
    expect(warnings).toEqual([
      '"slow" would not be ready in time; deadlines.outage is 1000 ms: past it a database is given back to the source',
    ]);
  });

  test('a group that would be late, although each of its databases is not', () => {
    const steps = ['a', 'b', 'c', 'd'].flatMap((name) => rehearsed(name, 500));
    expect(predictionOf(view(steps))!.warnings).toEqual([]);
    expect(predictionOf(view(steps, { together: true }))!.warnings[0]).toMatch(/^all databases together would not/);
    // What is done once for all of them makes nobody late.
    const held = ['a', 'b', 'c', 'd'].flatMap((name) => rehearsed(name, 50, { 'hold-target': took(400) }));
    expect(predictionOf(view(held))!.own).toMatchObject({ wholeMs: 1_020 });
    expect(predictionOf(view(held, { together: true }))).toMatchObject({ together: { worstMs: 580 }, warnings: [] });
  });

  test('what a fence would meet, and what was not rehearsed', () => {
    const findings = [
      {
        code: 'fence-ends-transaction',
        severity: 'warning',
        side: 'source',
        database: 'a',
        message: 'Ends it.',
        remedy: '.',
      },
    ] as const;
    const { warnings, leftOut } = predictionOf(
      view(rehearsed('a', 1, { 'foresee-fence': took(10, { output: foreseen, findings }) }), {
        'hooks:fenced': true,
        pgbouncer: true,
        reverse: false,
      }),
    )!;
    expect(warnings).toEqual(['database "a": Ends it.']);
    expect(leftOut.map((text) => text.split(' ')[0])).toEqual(['hooks', 'PgBouncer']);
  });
});

test('on a terminal and as JSON', () => {
  const many = view([...rehearsed('shop', 3_100), ...rehearsed('My "odd" DB', 100), ...rehearsed('c', 200)], {
    pgbouncer: true,
  });
  expect(renderOutcome(many, plain, 100, NOW)).toMatchSnapshot('several');
  expect(renderOutcome(view(rehearsed('alone', 100)), plain, 60, NOW)).toMatchSnapshot('one');
  expect(runDocument(many, 0)['prediction']).toEqual(predictionOf(many));
  expect(JSON.parse(JSON.stringify(predictionOf(many)))).toEqual(predictionOf(many));
});
