import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import { renderRun } from '../../../src/cli/render/run.ts';
import { coloured, plain } from '../../../src/cli/render/style.ts';
import { widthOf } from '../../../src/cli/render/text.ts';
import { failure, lane, NOW, run, stage } from './views.ts';

const MB = 1024 * 1024;
const at80 = { style: plain, now: NOW, width: 80 };

const copying = run({
  stages: [
    stage(0, {
      kind: 'cluster',
      title: 'The servers are fit',
      state: 'completed',
      steps: lane(undefined, { 'check-clusters': 'completed' }),
    }),
    stage(1, {
      title: 'Every database is streaming',
      steps: [
        ...lane('animals', { 'create-slot': 'completed', 'copy-tables': 'completed', 'build-indexes': 'completed' }),
        ...lane('My "odd" DB', {
          'create-slot': 'completed',
          'copy-tables': {
            startedAt: NOW - 60_000,
            queue: 'copy',
            progress: {
              done: 700 * MB,
              total: 2100 * MB,
              unit: 'bytes',
              rows: 1_234_567,
              note: 'public."Order Items"',
            },
          },
          'build-indexes': 'pending',
        }),
        ...lane('orders', {
          'create-slot': {
            state: 'failed',
            attempts: 5,
            error: failure(
              'source, database "orders": permission denied for table "select"',
              'GRANT SELECT ON ALL TABLES IN SCHEMA public TO pgconvoy_replication;',
            ),
          },
          'copy-tables': 'pending',
          'build-indexes': 'pending',
        }),
        ...lane('billing', {
          'create-slot': {
            state: 'delayed',
            attempts: 2,
            retryAt: NOW + 12_000,
            error: failure(
              'source, database "billing": pid 4711 (psql) has been writing since 04:12 and holds the slot back',
              'Let it end, or: select pg_terminate_backend(4711);',
            ),
          },
          'copy-tables': 'pending',
          'build-indexes': 'pending',
        }),
        ...lane('archive', {
          'create-slot': 'completed',
          'copy-tables': { state: 'waiting', queue: 'copy' },
          'build-indexes': 'pending',
        }),
        ...lane('zoo', {
          'create-slot': 'completed',
          'copy-tables': 'completed',
          'build-indexes': {
            startedAt: NOW - 4_000,
            progress: { done: 3, total: 12, unit: 'objects', note: 'animal_name_idx' },
          },
        }),
      ],
    }),
    stage(2, { kind: 'gate', title: 'Switch over now?', state: 'pending' }),
  ],
  state: 'failed-steps',
});

describe('a run on one screen', () => {
  test('problems first, then each database with its step', () => {
    expect(renderRun(copying, at80)).toMatchSnapshot();
  });

  test('colours change no character and no width', () => {
    const bare = stripVTControlCharacters(renderRun(copying, { ...at80, style: coloured }));
    expect(bare).toBe(renderRun(copying, at80));
  });

  test('a warning from outside stands at the top', () => {
    const text = renderRun(copying, {
      ...at80,
      warnings: ['no worker is listening on this queue: start one with pgconvoy worker'],
    });
    expect(text.split('\n')[2]).toBe('! no worker is listening on this queue: start one with pgconvoy worker');
  });

  test('thousands of databases: counts, and only those in which something happens', () => {
    const many = run({
      stages: [
        stage(0, {
          title: 'Every database is streaming',
          steps: Array.from({ length: 3_000 }, (_, index) => {
            const name = `customer_${String(index).padStart(4, '0')}`;
            if (index === 1_500)
              return lane(name, {
                'copy-tables': {
                  state: 'failed',
                  error: failure(`target, database "${name}": disk full`, 'Make room.'),
                },
              });
            if (index > 1_990 && index < 1_995)
              return lane(name, {
                'copy-tables': {
                  queue: 'copy',
                  startedAt: NOW - 10_000,
                  progress: { done: index, total: 4_000, unit: 'bytes' },
                },
              });
            return lane(name, { 'copy-tables': index < 1_990 ? 'completed' : 'waiting' });
          }).flat(),
        }),
      ],
      state: 'failed-steps',
    });
    const text = renderRun(many, { ...at80, height: 24 });
    expect(text).toMatchSnapshot();
    expect(text.split('\n').length).toBeLessThanOrEqual(24);
  });

  test('nothing but what a person copies is wider than the screen, nor higher', () => {
    const long = 'a database with a name of sixty-three bytes, as long as they come';
    const view = run({
      stages: [
        stage(0, {
          steps: [
            ...lane(long, {
              'copy-tables': {
                startedAt: NOW - 9_000,
                progress: { done: 5, total: 10, unit: 'bytes', rows: 10, note: `public.${long}` },
              },
            }),
            ...lane('数据库'.repeat(8), {
              'copy-tables': { state: 'delayed', error: failure('x'.repeat(70), 'wait') },
            }),
            ...Array.from({ length: 60 }, (_, index) =>
              lane(`db${index}`, { 'copy-tables': { startedAt: NOW - 1_500 } }),
            ).flat(),
          ],
        }),
      ],
    });
    for (const width of [80, 132]) {
      for (const height of [16, 24, 50]) {
        const lines = renderRun(view, { style: plain, now: NOW, width, height }).split('\n');
        expect(lines.length, `${width}×${height}`).toBeLessThanOrEqual(height);
        expect(lines.filter((line) => widthOf(line) > width)).toEqual([]);
      }
    }
  });

  test('a name cannot steer the terminal', () => {
    const text = renderRun(
      run({ stages: [stage(0, { steps: lane('evil\u001b[2J\nname', { 'copy-tables': 'active' }) })] }),
      at80,
    );
    expect(text).toContain('evil\\x1b[2J\\nname');
    expect(text).not.toContain('\u001b');
  });

  test('a cluster stage shows its steps', () => {
    const view = run({
      databases: [{ oid: 1, name: 'a' }],
      stages: [
        stage(0, {
          kind: 'cluster',
          title: 'Roles are on the target',
          steps: lane(undefined, {
            'create-replication-role': { state: 'completed', changed: false },
            'copy-roles': { startedAt: NOW - 3_000 },
            'tune-target': 'pending',
          }),
        }),
      ],
    });
    expect(renderRun(view, at80)).toMatchSnapshot();
  });

  test('a gate says what to type', () => {
    const view = run({
      databases: [{ oid: 1, name: 'a' }],
      stages: [stage(0, { kind: 'gate', title: 'Switch over now?', state: 'waiting-approval' })],
      state: 'waiting-approval',
    });
    expect(renderRun(view, at80)).toMatchSnapshot();
  });

  test('who approved, and when', () => {
    const approval = { by: 'bob@ops2', at: NOW - 60_000 };
    const view = run({
      stages: [
        stage(0, { kind: 'gate', title: 'Switch over now?', state: 'completed', approval }),
        stage(1, { title: 'Every database is open', steps: lane('animals', { 'fence-source': 'active' }) }),
      ],
    });
    expect(renderRun(view, at80)).toContain('\napproved by bob@ops2, 2026-11-23 04:29:00 UTC: Switch over now?\n');
  });

  test('the same cause in many databases is one problem', () => {
    const view = run({
      stages: [
        stage(0, {
          steps: ['a1', 'b1', 'c1', 'd1'].flatMap((name) =>
            lane(name, {
              'create-slot': {
                state: 'failed',
                error: failure(
                  `source, database "${name}": all replication slots are in use`,
                  'max_replication_slots = 40, then restart',
                ),
              },
            }),
          ),
        }),
      ],
      state: 'failed-steps',
    });
    expect(renderRun(view, at80)).toMatchSnapshot();
  });
});

test('the line that carries a database on is one that a shell reads back', () => {
  const view = run({
    stages: [
      stage(0, { steps: lane(`it's "odd" $(x)`, { 'create-slot': { state: 'failed', error: failure('no', 'do') } }) }),
    ],
    state: 'failed-steps',
  });
  expect(renderRun(view, at80)).toContain(`pgconvoy retry ${view.id} --database 'it'\\''s "odd" $(x)'`);
});
