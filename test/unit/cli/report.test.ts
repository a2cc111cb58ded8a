import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { buildReport } from '../../../src/cli/report/build-report.ts';
import { renderReport } from '../../../src/cli/render/report.ts';
import type { Report } from '../../../src/cli/report/report.ts';
import type { Settings } from '../../../src/config/schema.ts';
import type { LogLine, RunView, StepView } from '../../../src/queue/types.ts';
import type { Ledgers } from '../../../src/runtime/read-ledgers.ts';
import { failure, lane, NOW, run, stage } from './views.ts';

/** Not all of it, so that a new key of the configuration changes no page here. */
const settings = {
  engine: 'native',
  replication: { role: 'pgconvoy_replication', snapshotCopyUpTo: 536_870_912 },
  fix: { default: 'auto', tables: [{ database: '*', table: 'public.log', choice: { by: 'full' } }] },
  comparison: { mode: 'auto' },
  notReplicated: { unloggedTables: 'leave', largeObjects: 'copy' },
  accept: ['large-objects', { finding: 'schema-drift', database: 'shop', reason: 'not used | any more' }],
  source: { fromTarget: {} },
  target: { fromSource: {} },
} as unknown as Settings;

const bothThere: Ledgers = {
  engine: 'native',
  source: { address: 'old.example:5432', user: 'postgres', version: '15.14', notes: { fence: 1, opened: 1 } },
  target: { address: '/run/new, port 5433', user: 'postgres', version: '18.1', notes: {} },
  opened: new Map(),
};

const report = (view: RunView, ledgers: Ledgers, lines: readonly LogLine[] = [], rehearsal?: RunView): Report =>
  buildReport({ view, rehearsal, lines, ledgers, settings, written: { at: NOW, by: 'eve@desk', version: '0.2.0' } });

const done = (from: number, took: number, more: Partial<StepView> = {}): Partial<StepView> => ({
  state: 'completed',
  changed: true,
  startedAt: NOW - 250_000 + from,
  finishedAt: NOW - 250_000 + from + took,
  worker: 'ops1:4711',
  attemptTimes: [
    {
      attempt: 1,
      startedAt: NOW - 250_000 + from,
      finishedAt: NOW - 250_000 + from + took,
      outcome: 'completed',
    },
  ],
  ...more,
});

const before = run({
  id: 'rehearse-1122-0400-abc',
  workflow: 'rehearse',
  state: 'completed',
  finishedAt: NOW - 86_400_000,
  options: { rehearsal: true, pgbouncer: true },
  stages: [
    stage(0, {
      title: 'Every target is as it was before, and streams',
      state: 'completed',
      steps: [
        ...lane('shop', {
          'foresee-fence': done(0, 12, {
            output: { opened: false, sessions: 9, superusers: 1, transactions: 2, atOnce: 4, outageMs: 300 },
          }),
          'hold-target': done(12, 60, { output: { lsn: '0/3A00000' } }),
          'copy-sequences': done(72, 250),
          'undo-hold-target': done(322, 80),
        }),
        ...lane('crm', { 'foresee-fence': done(0, 12), 'hold-target': { state: 'failed' } }),
      ],
    }),
  ],
});

const fence = { fencedAt: '2026-11-23 04:29:00+00', lsn: '0/3A2B1C0' };

const small = report(
  run({
    state: 'completed',
    finishedAt: NOW - 10_000,
    stages: [
      stage(0, {
        kind: 'cluster',
        title: 'The servers are fit',
        state: 'completed',
        steps: lane(undefined, {
          'check-clusters': done(0, 900, {
            changed: false,
            output: {
              points: [
                {
                  id: 'connection',
                  title: 'connection',
                  side: 'source',
                  detail: 'old.example:5432 as "postgres", PostgreSQL 15.14',
                  ok: true,
                  findings: [],
                },
                {
                  id: 'client-tools',
                  title: 'client tools',
                  side: 'here',
                  detail: 'pg_dump 18.1 in /usr/lib/postgresql/18/bin',
                  ok: true,
                  findings: [],
                },
              ],
            },
          }),
          'prove-engine': done(900, 4_000, { output: { engine: 'native', proven: 'now' } }),
        }),
      }),
      stage(1, {
        title: 'Every database is streaming',
        state: 'completed',
        steps: lane('shop', {
          'copy-schema': done(5_000, 2_000, { output: { objects: 1_234 } }),
          'copy-tables': done(7_000, 60_000, { output: { tables: 57 } }),
          'build-indexes': done(67_000, 3_000, { output: { objects: 80 } }),
        }),
      }),
      stage(2, {
        kind: 'gate',
        title: 'Switch over now?',
        state: 'completed',
        approval: { by: 'bob@ops2', at: NOW - 100_000 },
      }),
      stage(3, {
        title: 'Every database is open on the target',
        state: 'completed',
        steps: lane('shop', {
          'fence-source': done(160_000, 40, { output: { ...fence, ended: 2, superusers: ['postgres'] } }),
          'copy-sequences': done(160_050, 12, {
            output: { sequences: 3 },
            changes: {
              sequences: 2,
              listed: [
                {
                  sequence: '"public"."items_id_seq"',
                  before: { last: '1', called: false },
                  after: { last: '9000000000000000001', called: true },
                },
              ],
            },
          }),
          'compare-tables': done(160_070, 300, {
            changed: false,
            output: {
              method: 'checksum',
              checksum: 'hash',
              tables: 57,
              rows: 1_000_000,
              listed: [{ table: '"public"."Order Items"', rows: 999_000, sum: '-1234567890123456789012' }],
            },
          }),
          'open-target': done(160_400, 20, {
            output: { ...fence, openedAt: '2026-11-23 04:29:00.42+00', outageMs: 420 },
          }),
          'run-hooks': done(160_500, 90, {
            output: {
              at: 'opened',
              ran: [
                { program: '/opt/tell', milliseconds: 40, attempts: 1 },
                { program: '/opt/mail', milliseconds: 50, attempts: 3, failure: 'ended with 7 | no route' },
              ],
            },
          }),
          'reverse-start-reverse': done(160_600, 30, { operation: 'start-reverse', output: { subscription: 's' } }),
        }),
      }),
    ],
  }),
  bothThere,
  [],
  before,
);

const SCRIPT = `<script>alert('x')</script> & "co" | *b* \`t\``;
const UNDO = 'a\u001b[31m\u202eb';

const awkward = report(
  run({
    state: 'cancelled',
    workflow: 'stop',
    title: 'Switch over to the target',
    cancel: { by: 'mal<b>@ops', at: NOW - 5_000 },
    undoneBy: 'stop-undo-1123',
    options: { yes: true, force: false },
    databases: [
      { oid: 1, name: SCRIPT },
      { oid: 2, name: UNDO },
      { oid: 3, name: 'moved before' },
    ],
    stages: [
      stage(0, {
        title: 'Every database is open on the target',
        steps: [
          ...lane(SCRIPT, {
            'check-database': done(0, 100, {
              output: {
                points: [
                  {
                    id: 'tables',
                    title: 'tables',
                    side: 'source',
                    database: SCRIPT,
                    detail: 'line 1\nline 2',
                    ok: false,
                    findings: ['large-objects'],
                  },
                ],
              },
              findings: [
                {
                  code: 'large-objects',
                  severity: 'warning',
                  accepted: true,
                  side: 'source',
                  database: SCRIPT,
                  message: '3 large objects <are> left behind (accepted in the configuration)',
                  remedy: 'Copy them.',
                  point: 'tables',
                },
              ],
            }),
            'fence-source': { ...done(100, 50, { output: { ...fence, ended: 0, superusers: [] } }), attempts: 3 },
            'await-lsn': {
              state: 'failed',
              attempts: 5,
              startedAt: NOW - 20_000,
              finishedAt: NOW - 19_000,
              error: failure('target, database "<script>": not in time | at all', 'Raise deadlines.fence.'),
            },
            'open-target': 'pending',
          }),
          ...lane(UNDO, { 'fence-source': { state: 'cancelled' }, 'open-target': 'pending' }),
          ...lane('moved before', {
            'compare-tables': done(0, 5, { output: { method: 'of another version' } }),
            'copy-sequences': done(5, 5, { changed: false, output: { sequences: 1 } }),
            'open-target': done(10, 5, {
              changed: false,
              output: { ...fence, openedAt: '2026-11-22 01:00:00+00', outageMs: 1_500 },
            }),
          }),
        ],
      }),
    ],
  }),
  {
    source: { address: 'old.example:5432', user: 'postgres', unreachable: 'source: connection refused', notes: {} },
    target: { address: 'new.example:5432', user: 'postgres', unreachable: 'target: connection refused', notes: {} },
    opened: new Map([[UNDO, { ...fence, openedAt: '2026-11-23 04:30:00+00', outageMs: 7 }]]),
  },
  [
    { at: NOW - 30_000, step: 'fence-source', stage: 0, database: SCRIPT, text: 'attempt 1 begins on ops1:4711' },
    {
      at: NOW - 29_000,
      step: 'fence-source',
      stage: 0,
      database: SCRIPT,
      text: 'failed (1 of 5): deadlock <detected>',
    },
    { at: NOW - 28_000, step: 'fence-source', stage: 0, database: UNDO, text: 'cancelled: by mal' },
    { at: NOW - 27_000, step: 'fence-source', stage: 1, database: SCRIPT, text: 'failed: of another stage' },
  ],
);

describe('as Markdown', () => {
  test('a small upgrade', () => expect(renderReport(small, 'markdown')).toMatchSnapshot());
  test('a run that failed, was tried again and cancelled, with odd names, both servers away', () =>
    expect(renderReport(awkward, 'markdown')).toMatchSnapshot());
});

describe('a rehearsal', () => {
  const rehearsal = report(before, bothThere);
  test('with all it has measured', () => {
    const text = renderReport(rehearsal, 'markdown');
    expect(text.slice(text.indexOf('## Predicted'), text.indexOf('## Checks'))).toMatchSnapshot();
  });

  test('beside the cutover that came, if it came', () => {
    expect(small.rehearsal).toEqual({
      run: 'rehearse-1122-0400-abc',
      finishedAt: NOW - 86_400_000,
      databases: [{ database: 'shop', predictedMs: 370, outageMs: 420 }],
    });
    expect([small.prediction, rehearsal.rehearsal, awkward.rehearsal]).toEqual([null, null, null]);
    // Each of a group is out as long as all of it.
    const steps = lane('shop', { 'open-target': done(0, 5, { output: { ...fence, openedAt: 'now', outageMs: 500 } }) });
    const cutover = run({
      workflow: 'stop',
      state: 'completed',
      finishedAt: NOW,
      options: { together: true },
      stages: [stage(0, { state: 'completed', steps })],
    });
    expect(report(cutover, bothThere, [], before).rehearsal?.databases).toEqual([
      { database: 'shop', predictedMs: 382, outageMs: 500 },
    ]);
  });
});

test('hooks, and whether rows travel back', () => {
  expect(small.hooks).toEqual([
    { at: 'opened', database: 'shop', program: '/opt/tell', milliseconds: 40, attempts: 1, failure: null },
    {
      at: 'opened',
      database: 'shop',
      program: '/opt/mail',
      milliseconds: 50,
      attempts: 3,
      failure: 'ended with 7 | no route',
    },
  ]);
  const none = { 'reverse-start-reverse': done(0, 5, { operation: 'start-reverse', output: { subscription: null } }) };
  const once = run({ workflow: 'stop', state: 'completed', stages: [stage(0, { steps: lane('shop', none) })] });
  const all = [small, awkward, report(once, bothThere)];
  expect(all.map(({ databases }) => databases[0]!.wayBack)).toEqual(['open', null, null]);
});

test('where a database was given back, what is told is of the last pass', () => {
  const sequences = (last: string) => ({
    sequences: 1,
    listed: [{ sequence: 's', before: { last: '1', called: true }, after: { last, called: true } }],
  });
  const repeated = (key: string, times: number, more: object) => ({
    stage: 0,
    key,
    database: 'shop',
    times,
    startedAt: NOW - 10_000,
    finishedAt: NOW - 9_000,
    changed: true,
    findings: [],
    output: null,
    ...more,
  });
  const again = { ...fence, lsn: '0/4000000', fencedAt: '2026-11-23 04:29:30+00' };
  const { databases, findings } = report(
    run({
      workflow: 'stop',
      stages: [
        stage(0, {
          steps: lane('shop', {
            'fence-source': done(0, 40, { output: { ...fence, superusers: ['old'] } }),
            'copy-sequences': done(40, 10, { output: { sequences: 1 }, changes: sequences('7') }),
            'compare-tables': {
              state: 'failed',
              repeated: [
                repeated('fence-source', 1, { output: { ...fence, superusers: [] }, finishedAt: NOW - 50_000 }),
              ],
            },
            'create-deferred-triggers': {
              state: 'failed',
              repeated: [
                repeated('fence-source', 2, { output: { ...again, superusers: ['new'] } }),
                repeated('copy-sequences', 2, { output: { sequences: 1 }, changes: sequences('9') }),
              ],
            },
          }),
        }),
      ],
    }),
    bothThere,
  );
  const [shop] = databases;
  expect(shop!.cutover).toEqual({
    ...again,
    from: 'run',
    openedAt: null,
    outageMs: null,
    superusers: ['new'],
    passes: 4,
  });
  expect(shop!.sequences?.listed[0]?.after.last).toBe('9');
  expect(shop!.steps.map(({ key, again: once }) => [key, once?.within ?? null])).toEqual([
    ['fence-source', 'create-deferred-triggers'],
    ['copy-sequences', 'create-deferred-triggers'],
    ['compare-tables', null],
    ['create-deferred-triggers', null],
  ]);
  expect(findings).toEqual([]);
});

test('waivers: why, where, and whether this run has met them', () => {
  expect(awkward.waivers).toEqual([
    { waived: 'large-objects', database: null, reason: null, met: 1 },
    { waived: 'schema-drift', database: 'shop', reason: 'not used | any more', met: 0 },
    { waived: 'notReplicated.unloggedTables: leave', database: null, reason: null, met: null },
  ]);
});

describe('as HTML', () => {
  test('a small upgrade', () => expect(renderReport(small, 'html')).toMatchSnapshot());

  test('names are shown and never become elements, nor do they turn the text around', () => {
    const text = renderReport(awkward, 'html');
    expect(text).toContain(
      'Database &lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;co&quot; | *b* `t`</h2>',
    );
    expect(text).toContain('mal&lt;b&gt;@ops');
    expect(text).toContain('line 1<br>line 2');
    expect(text).toContain(String.raw`a\x1b[31m\x202eb`);
    const elements = new Set([...text.matchAll(/<\/?([a-z]+\d?)[\s>]/g)].map(([, name]) => name));
    expect([...elements].toSorted()).toEqual(
      'body br dd dl dt h1 h2 h3 head html meta p style table tbody td th thead title tr'.split(' '),
    );
    expect(text).not.toMatch(/\ssrc=|\shref=|url\(|@import/);
    expect(text).toMatch(/prefers-color-scheme: dark/);
    expect(text).toMatch(/@media print/);
    for (const control of ['\u001b', '\u202e']) expect(text).not.toContain(control);
  });
});

describe('as JSON', () => {
  test('every key is explained in docs/report.md', () => {
    const page = readFileSync(join(import.meta.dirname, '../../../docs/report.md'), 'utf8');
    const unexplained = [
      ...keysOf(JSON.parse(renderReport(small, 'json'))),
      ...keysOf(awkward),
      ...keysOf(report(before, bothThere)),
    ].filter((key) => !page.includes(`\`${key}\``));
    expect(unexplained).toEqual([]);
  });

  test('who tells that a database is open, and steps that another version wrote', () => {
    expect(small.databases[0]!.cutover).toMatchObject({ from: 'run', superusers: ['postgres'] });
    expect(awkward.databases.map(({ state, cutover }) => [state, cutover?.from, cutover?.outageMs])).toEqual([
      ['failed', 'run', null],
      ['cancelled', 'ledger', 7],
      ['open', 'earlier', 1_500],
    ]);
    expect(awkward.databases[2]!.comparison).toBeNull();
  });

  test('only what this step of this stage and database met', () => {
    const [, fenced] = awkward.databases[0]!.steps;
    expect(fenced!.troubles).toEqual([{ at: NOW - 29_000, text: 'failed (1 of 5): deadlock <detected>' }]);
  });
});

/** Keys of the report; the configuration's own are explained with the configuration, those of records by name are names. */
function keysOf(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(keysOf);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, one]) => [
    key,
    ...(['configuration', 'options', 'ledger'].includes(key) ? [] : keysOf(one)),
  ]);
}
