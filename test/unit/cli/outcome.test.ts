import { describe, expect, test } from 'vitest';
import { renderOutcome } from '../../../src/cli/render/outcome.ts';
import { runDocument } from '../../../src/cli/render/documents.ts';
import { plain } from '../../../src/cli/render/style.ts';
import { exitCodeOf, isSettled } from '../../../src/cli/run-facts.ts';
import type { Finding } from '../../../src/engine/finding.ts';
import type { RunView } from '../../../src/queue/types.ts';
import { failure, lane, NOW, run, stage } from './views.ts';

const done = (changed: boolean) => [
  stage(0, {
    state: 'completed',
    steps: [
      ...lane('a', { fix: { state: 'completed', changed } }),
      ...lane('b', { fix: { state: 'completed', changed: false } }),
    ],
  }),
];
const summary = (changed: number, unchanged: number, findings: readonly Finding[] = []) => ({
  changed,
  unchanged,
  findings,
  durations: [],
});
const finding = (severity: Finding['severity']): Finding => ({
  code: 'x',
  severity,
  side: 'source',
  message: 'is so',
  remedy: 'make it otherwise',
});
const outcome = (view: RunView) => renderOutcome(view, plain, 80, NOW);
const failed = (exitCodes: readonly (1 | 3 | 4)[]) =>
  run({
    state: 'failed-steps',
    stages: [
      stage(0, {
        steps: [
          ...exitCodes.flatMap((code, index) =>
            lane(`bad${index}`, {
              'create-slot': { state: 'failed', error: failure(`cause ${index}`, 'repair it', code) },
            }),
          ),
          ...lane('good', { 'create-slot': 'completed' }),
        ],
      }),
    ],
  });

test('a hook that failed when there was nothing to go back to is told at the end', () => {
  const ran = (at: string, why?: string) => ({
    state: 'completed' as const,
    changed: true,
    output: { at, ran: [{ program: 'dns', ...(why === undefined ? {} : { failure: why }) }] },
  });
  const view = run({
    state: 'completed',
    stages: [
      stage(0, {
        state: 'completed',
        steps: [
          ...lane('shop', { 'run-hooks': ran('fenced'), 'run-hooks-2': ran('opened', 'dns ended with exit code 4') }),
          ...lane(undefined, { 'run-hooks-together': ran('opened', 'dns did not end') }),
        ],
      }),
    ],
  });
  expect(outcome(view).split('\n').slice(1)).toEqual([
    '  hook at opened (shop): dns ended with exit code 4',
    '  hook at opened: dns did not end',
  ]);
});

describe('what a run came to', () => {
  test('done, with what it changed', () => {
    const view = run({
      workflow: 'fix',
      state: 'completed',
      stages: done(true),
      finishedAt: NOW,
      summary: summary(1, 1),
    });
    expect(outcome(view)).toBe('✓ fix completed in 4m 11s: 2 databases; 1 step changed something, 1 already held');
    expect(exitCodeOf(view)).toBe(0);
  });

  test('nothing to change is said', () => {
    const view = run({
      workflow: 'fix',
      state: 'completed',
      stages: done(false),
      finishedAt: NOW,
      summary: summary(0, 2, [finding('warning')]),
    });
    expect(outcome(view)).toBe(
      '✓ fix completed in 4m 11s: 2 databases; nothing to change: 2 steps already hold\n0 block, 1 warning: pgconvoy check shows them',
    );
  });

  test('a check shows its points and ends with 3 only when one blocks, with 4 when a server is away', () => {
    const withOne = (severity: Finding['severity'], code = 'x') => {
      const found = { ...finding(severity), code, point: 'wal_level' };
      const holding = { id: 'roles', title: 'roles', side: 'target', ok: true, findings: [] };
      const points = [holding, { ...holding, id: 'wal_level', title: 'wal_level', side: 'source', ok: false }];
      const looked = { state: 'completed', output: { points }, findings: [found] } as const;
      return run({
        workflow: 'check',
        state: 'completed',
        stages: [
          stage(0, { kind: 'cluster', state: 'completed', steps: lane(undefined, { 'check-clusters': looked }) }),
          stage(1, { kind: 'cluster', state: 'completed', steps: lane(undefined, { 'prove-engine': 'completed' }) }),
        ],
        finishedAt: NOW,
        summary: summary(0, 2, [found]),
      });
    };
    expect(outcome(withOne('block'))).toMatchSnapshot();
    expect(exitCodeOf(withOne('block'))).toBe(3);
    expect(exitCodeOf(withOne('warning'))).toBe(0);
    expect(exitCodeOf(withOne('block', 'server-unreachable'))).toBe(4);
    expect(runDocument(withOne('warning'), 0)['points']).toMatchObject([
      { id: 'roles', state: 'OK' },
      { id: 'wal_level', state: 'note' },
      { id: 'prove-engine', side: 'here', state: 'OK' },
    ]);
  });

  test('failed steps: each with cause and remedy, and how many others went on', () => {
    expect(outcome(failed([1, 4]))).toMatchSnapshot();
  });

  test('what blocked a step is shown in full', () => {
    const view = run({
      state: 'failed-steps',
      stages: [
        stage(0, {
          steps: lane('a', {
            'check-database': {
              state: 'failed',
              error: failure('is so (and 1 more)', 'make it otherwise', 3),
              findings: [finding('block'), { ...finding('block'), code: 'y' }],
            },
          }),
        }),
      ],
    });
    expect(outcome(view)).toContain('[y]');
    expect(exitCodeOf(view)).toBe(3);
  });

  test('the exit code of failed steps is that of their causes, where they agree', () => {
    expect(exitCodeOf(failed([4, 4]))).toBe(4);
    expect(exitCodeOf(failed([3, 4]))).toBe(1);
    expect(exitCodeOf(failed([1]))).toBe(1);
  });

  test('a run that waits, one that was cancelled, one that cannot go on', () => {
    const stages = [stage(0, { kind: 'gate', title: 'Switch over now?', state: 'waiting-approval' })];
    const waiting = run({ state: 'waiting-approval', stages });
    const cancelled = run({ state: 'cancelled', stages, cancel: { by: 'bob@ops2', at: NOW } });
    const broken = run({
      state: 'failed',
      stages,
      error: failure('this version has no such workflow', 'start a new run'),
    });
    expect([waiting, cancelled, broken].map(outcome)).toMatchSnapshot();
    expect([waiting, cancelled, broken].map(exitCodeOf)).toEqual([6, 5, 1]);
  });
});

describe('when nothing more happens by itself', () => {
  test('failed steps end the view only when the other lanes stand still', () => {
    const view = failed([1]);
    expect(isSettled(view)).toBe(true);
    const [only] = view.stages;
    const busy = {
      ...view,
      stages: [{ ...only!, steps: [...only!.steps, ...lane('slow', { 'create-slot': 'active' })] }],
    };
    expect(isSettled(busy)).toBe(false);
  });

  test('a running run is not settled, a cancelling one neither', () => {
    expect(isSettled(run({ stages: done(true) }))).toBe(false);
    expect(isSettled(run({ state: 'cancelling', stages: done(true) }))).toBe(false);
  });
});

test('the document of a run names its problems with null where there is no database', () => {
  const view = run({
    state: 'failed-steps',
    stages: [
      stage(0, {
        kind: 'cluster',
        steps: lane(undefined, { 'copy-roles': { state: 'failed', error: failure('no', 'do') } }),
      }),
    ],
  });
  expect(runDocument(view, 1)).toMatchObject({
    ok: false,
    code: 1,
    problems: [{ database: null, step: 'copy-roles', state: 'failed', message: 'no', hint: 'do' }],
    findings: [],
    run: { id: view.id, state: 'failed-steps' },
  });
});

test('a cutover tells its longest write outage', () => {
  const opened = (database: string, outageMs: number) =>
    lane(database, { 'open-target': { state: 'completed', changed: true, output: { outageMs } } });
  const stages = [
    stage(0, { state: 'completed', steps: [...opened('a', 300), ...opened('My "odd" DB', 812), ...opened('c', 400)] }),
  ];
  const view = run({ workflow: 'stop', state: 'completed', stages, finishedAt: NOW, summary: summary(3, 0) });
  expect(outcome(view)).toContain('  write outage: longest 812 ms (My "odd" DB), median 400 ms');
  expect(runDocument(view, 0)['outages']).toEqual([
    { database: 'My "odd" DB', milliseconds: 812 },
    { database: 'c', milliseconds: 400 },
    { database: 'a', milliseconds: 300 },
  ]);
});
