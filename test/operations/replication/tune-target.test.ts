import { expect, test } from 'vitest';
import { tuneTarget } from '../../../src/operations/replication/tune-target.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';
import { startCluster } from '../../helpers/servers.ts';

const WRITTEN = `select name, setting from pg_file_settings where sourcefile like '%auto.conf' order by seqno`;

test('the target is tuned for the copy, and undo puts back exactly what was written before', async () => {
  await using target = await startCluster({ major: 17, name: 'tuned-target' });
  await using pair = await TestPair.open({ source: 10, target, settings: { budgets: { tableWorkers: 3 } } });
  await pair.query('target', 'postgres', `alter system set wal_retrieve_retry_interval = '7s'`);
  await pair.query('target', 'postgres', `alter system set work_mem = '5MB'`);
  const before = await pair.query('target', 'postgres', WRITTEN);

  const { output } = await proveContract(pair, tuneTarget, undefined);
  expect(output).toEqual({
    settings: {
      max_sync_workers_per_subscription: '3',
      wal_receiver_status_interval: '1s',
      wal_retrieve_retry_interval: '100ms',
    },
  });
  await proveKilledAndRunAgain(pair, tuneTarget, undefined, [1, 5, 10]);
  expect(await pair.query('target', 'postgres', 'show max_sync_workers_per_subscription')).toEqual([
    { max_sync_workers_per_subscription: '3' },
  ]);

  await tuneTarget.undo!(pair.context(undefined));
  const after = await pair.query('target', 'postgres', WRITTEN);
  expect(after).toHaveLength(before.length);
  expect(after).toEqual(expect.arrayContaining(before));
  expect(await pair.context(undefined).targetLedger.entries()).toEqual([]);
});
