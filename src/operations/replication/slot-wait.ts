import { setTimeout as sleep } from 'node:timers/promises';
import type { OperationContext } from '../../engine/operation.ts';
import {
  WriteTransaction,
  describeTransaction,
  endingOf,
  writeTransactions,
} from '../../postgres/catalog/transactions.ts';
import type { Side } from '../../postgres/cluster.ts';

/** How often the note says who is waited for, milliseconds. */
const LOOK_MS = 1_000;

/**
 * A slot waits for all write transactions of the cluster, for up to `deadlines.slot`: who is waited for, since when and what ends that
 * is told meanwhile, and each that is the oldest once in the run's log.
 */
export async function sayingWhoIsWaitedFor<T>(context: OperationContext, creating: Promise<T>): Promise<T> {
  const { sourceCluster, progress, settings, note } = context;
  const started = Date.now();
  let told: string | undefined;
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
      ...(oldest
        ? { note: `waiting for ${describeTransaction(oldest)}`, heldUp: whatToDo(sourceCluster.side, oldest) }
        : {}),
    });
    if (!oldest || told === endingOf(oldest)) continue;
    told = endingOf(oldest);
    note(
      `waits for ${describeTransaction(oldest)}, at most ${settings.deadlines.slot} ms (deadlines.slot). ${whatToDo(sourceCluster.side, oldest)}`,
    );
  }
  return creating;
}

const whatToDo = (side: Side, transaction: WriteTransaction): string => {
  const { pid, gid, user, database } = transaction;
  const who = pid === null ? `the prepared transaction "${gid}"` : `a write transaction, pid ${pid}`;
  const where = pid === null ? `, in database "${database}"` : '';
  return `Every new slot waits for ${who} of user "${user}" in database "${database}". Let it end, or on the ${side}${where}: ${endingOf(transaction)}`;
};
