import { setTimeout as sleep } from 'node:timers/promises';
import type { OperationContext } from '../../engine/operation.ts';
import { WriteTransaction, describeTransaction, writeTransactions } from '../../postgres/catalog/transactions.ts';

/** How often the note says who is waited for, milliseconds. */
const LOOK_MS = 1_000;

/** A slot waits for all write transactions of the cluster, which may take long: the note names the oldest. */
export async function sayingWhoIsWaitedFor<T>(context: OperationContext, creating: Promise<T>): Promise<T> {
  const { sourceCluster, progress, settings } = context;
  const started = Date.now();
  const done = creating.then(
    () => true,
    () => true,
  );
  while (!(await Promise.race([done, sleep(LOOK_MS, false, { ref: false })]))) {
    const [oldest] = await sourceCluster.maintenance.many(WriteTransaction, writeTransactions()).catch(() => []);
    progress({
      done: Date.now() - started,
      total: settings.deadlines.slot,
      unit: 'milliseconds',
      ...(oldest ? { note: `waiting for ${describeTransaction(oldest)}` } : {}),
    });
  }
  return creating;
}
