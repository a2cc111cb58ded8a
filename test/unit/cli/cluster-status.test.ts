import { expect, test } from 'vitest';
import { renderConfiguration, renderDatabases } from '../../../src/cli/render/cluster-status.ts';
import { plain } from '../../../src/cli/render/style.ts';
import type { ClusterStatus, DatabaseSetup, DatabaseStatus } from '../../../src/runtime/status/types.ts';

const NOTHING: DatabaseSetup = {
  source: { exists: true, slot: false, fenced: false },
  target: { exists: false, ours: false, schema: 'nothing', subscription: false, opened: false },
};
const STREAMS: DatabaseSetup = {
  source: { exists: true, slot: true, fenced: false },
  target: { exists: true, ours: true, schema: 'complete', subscription: true, opened: false },
};

const statusOf = (databases: readonly DatabaseStatus[], more: Partial<ClusterStatus> = {}): ClusterStatus => ({
  configuration: {
    engine: 'native',
    role: { name: 'pgconvoy_replication', ready: true },
    source: { address: '127.0.0.1:5432', version: '15.20' },
    target: { address: '/run/pg, port 5433', version: '18.6 (Debian 18.6-3)' },
  },
  databases,
  unreachable: [],
  ...more,
});

test('databases that need an eye first, with the reason', () => {
  const text = renderDatabases(
    statusOf([
      {
        database: 'animals',
        state: 'replicating',
        setup: STREAMS,
        lagBytes: 0,
        lagSeconds: 0.004,
        slot: { active: true, walStatus: 'reserved', retainedBytes: 16 * 1024 ** 2 },
      },
      {
        database: 'billing',
        state: 'initializing',
        setup: STREAMS,
        tables: { waiting: 3, copying: 2, catchingUp: 1, streaming: 14 },
        lagBytes: 3_400_000,
        lagSeconds: 12,
        slot: { active: true, retainedBytes: 5 * 1024 ** 3 },
      },
      {
        database: 'My "odd" DB',
        state: 'down',
        setup: STREAMS,
        reason: 'no worker slot is free on the target: all 4 of max_logical_replication_workers are in use',
        slot: { active: false, walStatus: 'unreserved', retainedBytes: 1024 ** 4 },
      },
      { database: 'x'.repeat(63), state: 'missing', setup: STREAMS, slot: { active: false, retainedBytes: 1 } },
      { database: 'crm', state: 'not-set-up', setup: NOTHING },
      {
        database: 'shop',
        state: 'set-up',
        setup: {
          source: { ...NOTHING.source, published: true },
          target: { ...NOTHING.target, exists: true, ours: true, schema: 'begun' },
        },
      },
      {
        database: 'killed',
        state: 'set-up',
        setup: {
          source: { ...NOTHING.source, published: false },
          target: { ...NOTHING.target, exists: true, ours: true, schema: 'begun' },
        },
      },
      {
        database: 'zoo',
        state: 'switched-over',
        setup: {
          source: { exists: true, slot: false, fenced: true },
          target: { exists: true, ours: false, schema: 'complete', subscription: false, opened: true },
        },
      },
    ]),
    plain,
    80,
  );
  expect(text).toMatchSnapshot();
  expect(text.split('\n').filter((line) => line.length > 80)).toEqual([]);
});

test('of hundreds that are well only some are listed; problems all', () => {
  const databases = Array.from({ length: 300 }, (_, n): DatabaseStatus => {
    if (n % 100 === 7) return { database: `db${n}`, state: 'down', setup: STREAMS, reason: 'why' };
    return { database: `db${n}`, state: 'replicating', setup: STREAMS };
  });
  const lines = renderDatabases(statusOf(databases), plain, 80).split('\n');
  expect(lines[0]).toBe('300 databases: 3 down, 297 replicating');
  expect(lines.filter((line) => line.includes(' down '))).toHaveLength(3);
  expect(lines.at(-1)).toBe('  and 260 more databases without a problem (--json has all)');
});

test('the servers, the engine, the role; a side that is away is named first', () => {
  expect(renderConfiguration(statusOf([]), plain)).toBe(
    [
      'source  PostgreSQL 15.20 at 127.0.0.1:5432',
      'target  PostgreSQL 18.6 at /run/pg, port 5433',
      'engine  native; replication role pgconvoy_replication is ready',
    ].join('\n'),
  );
  const { configuration } = statusOf([]);
  const away = statusOf([], {
    configuration: { role: { name: 'pgconvoy_replication' }, source: configuration.source, target: { address: 'b:1' } },
    unreachable: [{ side: 'target', message: 'connection refused' }],
  });
  expect(renderConfiguration(away, plain)).toBe(
    [
      '✗ the target cannot be asked: connection refused',
      'source  PostgreSQL 15.20 at 127.0.0.1:5432',
      'target  b:1',
      'engine  unknown; replication role pgconvoy_replication',
    ].join('\n'),
  );
  expect(renderDatabases(away, plain, 80)).toBe('');
});

test('no database takes part', () => {
  expect(renderDatabases(statusOf([]), plain, 80)).toBe('No database takes part.');
});

test('databases that there was no time to look into for drift are counted', () => {
  const one: DatabaseStatus = { database: 'animals', state: 'replicating', setup: STREAMS };
  expect(renderDatabases({ ...statusOf([one]), driftUnread: 63 }, plain, 100)).toContain(
    'not looked at for changes of the schema: 63 databases (status --drift looks at all)',
  );
  expect(renderDatabases({ ...statusOf([one]), driftUnread: 0 }, plain, 80)).not.toContain('not looked at');
});
