import { expect, test } from 'vitest';
import { renderReplication } from '../../../src/cli/render/replication.ts';
import { plain } from '../../../src/cli/render/style.ts';

test('databases that need an eye first, with the reason', () => {
  const text = renderReplication(
    {
      unreachable: [],
      databases: [
        {
          database: 'animals',
          state: 'streaming',
          lagBytes: 0,
          lagSeconds: 0.004,
          slot: { active: true, walStatus: 'reserved', retainedBytes: 16 * 1024 ** 2 },
        },
        {
          database: 'billing',
          state: 'copying',
          tables: { waiting: 3, copying: 2, catchingUp: 1, streaming: 14 },
          lagBytes: 3_400_000,
          lagSeconds: 12,
          slot: { active: true, retainedBytes: 5 * 1024 ** 3 },
        },
        {
          database: 'My "odd" DB',
          state: 'down',
          reason: 'no worker of it runs on the target: max_logical_replication_workers is used up',
          slot: { active: false, walStatus: 'unreserved', retainedBytes: 1024 ** 4 },
        },
        { database: 'x'.repeat(63), state: 'missing', slot: { active: false, retainedBytes: 1 } },
      ],
    },
    plain,
    80,
  );
  expect(text).toMatchSnapshot();
});

test('a side that is away is named, and what the other knows is shown', () => {
  const text = renderReplication(
    { unreachable: [{ side: 'target', message: 'connection refused' }], databases: [] },
    plain,
    80,
  );
  expect(text).toBe('✗ the target cannot be asked: connection refused');
});

test('nothing is replicated', () => {
  expect(renderReplication({ unreachable: [], databases: [] }, plain, 80)).toBe('No database is being replicated.');
});
