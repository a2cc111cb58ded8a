import { expect, test } from 'vitest';
import { eventsBetween, progressLine } from '../../../src/cli/render/events.ts';
import type { StepView } from '../../../src/queue/types.ts';
import { failure, lane, NOW, run, stage } from './views.ts';

const copies = (animals: StepView['state'] | Partial<StepView>, orders: StepView['state'] | Partial<StepView>) => [
  ...lane('animals', { 'copy-tables': animals }),
  ...lane('orders', { 'copy-tables': orders }),
];
const trouble = failure('source, database "orders": the lock is held by pid 12', 'Let it end.');

test('a run as lines of a log: each event once', () => {
  const views = [
    run({
      stages: [
        stage(0, { title: 'Streaming', steps: copies('waiting', 'waiting') }),
        stage(1, { kind: 'gate', title: 'Switch over now?', state: 'pending' }),
      ],
    }),
    run({
      stages: [
        stage(0, { title: 'Streaming', steps: copies('active', { state: 'delayed', attempts: 1, error: trouble }) }),
        stage(1, { kind: 'gate', title: 'Switch over now?', state: 'pending' }),
      ],
    }),
    run({
      stages: [
        stage(0, { title: 'Streaming', steps: copies('completed', { state: 'delayed', attempts: 2, error: trouble }) }),
        stage(1, { kind: 'gate', title: 'Switch over now?', state: 'pending' }),
      ],
    }),
    run({
      state: 'failed-steps',
      stages: [
        stage(0, { title: 'Streaming', steps: copies('completed', { state: 'failed', attempts: 3, error: trouble }) }),
        stage(1, { kind: 'gate', title: 'Switch over now?', state: 'pending' }),
      ],
    }),
    run({
      stages: [
        stage(0, { title: 'Streaming', steps: copies('completed', 'active') }),
        stage(1, { kind: 'gate', title: 'Switch over now?', state: 'pending' }),
      ],
    }),
    run({
      state: 'waiting-approval',
      stages: [
        stage(0, {
          title: 'Streaming',
          state: 'completed',
          steps: copies(
            { state: 'completed', startedAt: NOW - 9_000, finishedAt: NOW - 5_000 },
            { state: 'completed', startedAt: NOW - 5_000, finishedAt: NOW },
          ),
        }),
        stage(1, { kind: 'gate', title: 'Switch over now?', state: 'waiting-approval' }),
      ],
    }),
    run({
      state: 'completed',
      stages: [
        stage(0, { title: 'Streaming', state: 'completed', steps: copies('completed', 'completed') }),
        stage(1, {
          kind: 'gate',
          title: 'Switch over now?',
          state: 'completed',
          approval: { by: 'ann@ops1', at: NOW },
        }),
      ],
    }),
  ];
  const told = views.map((view, index) => eventsBetween(views[index - 1], view));
  expect(told).toMatchSnapshot();
  expect(eventsBetween(views[3], views[3]!)).toEqual([]);
});

test('where it stands, in one line', () => {
  const view = run({
    stages: [
      stage(0, {
        title: 'Streaming',
        steps: copies(
          {
            queue: 'copy',
            startedAt: NOW - 10_000,
            progress: { done: 1024 ** 2, total: 4 * 1024 ** 2, unit: 'bytes', rows: 5_000 },
          },
          'completed',
        ),
      }),
    ],
  });
  expect(progressLine(view, NOW)).toBe(
    'stage 1 of 1: 1 of 2 databases done, 1 active; copied 1.0 MB of 4.0 MB (25%), 5,000 rows, 30 s left',
  );
});

test('who holds a step up, once for each', () => {
  const held = (heldUp: string, note: string) =>
    run({ stages: [stage(0, { steps: copies({ progress: { done: 1, total: 9, note, heldUp } }, 'completed') })] });
  const [first, same, other] = [held('by pid 1', 'since 1 s'), held('by pid 1', 'since 2 s'), held('by pid 2', '')];
  const line = (who: string) => [`! animals: copy-tables is held up: by ${who}`];
  expect(eventsBetween(first, same)).toEqual([]);
  expect(eventsBetween(same, other)).toEqual(line('pid 2'));
  expect(eventsBetween(undefined, first)).toEqual(expect.arrayContaining(line('pid 1')));
});
