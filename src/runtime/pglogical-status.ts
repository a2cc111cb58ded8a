import type { SlotLag, SubscriptionWorkers } from '../postgres/catalog/replication-lag.ts';
import { TargetDatabases, targetDatabases } from '../postgres/catalog/pglogical.ts';
import type { BoundCluster } from '../postgres/cluster.ts';
import { subscriptionName } from '../replication/names.ts';
import { subscriptionBrief } from '../replication/pglogical/subscriber.ts';

/** Connections to the target at once. */
const AT_ONCE = 8;

/**
 * pglogical's subscriptions live inside their databases. One query tells which of them have one of ours and a worker at it; only those are asked
 * whose slot nobody reads, that are in their copy, or whose worker is missing.
 */
export async function readPglogical(
  target: BoundCluster,
  slots: ReadonlyMap<string, SlotLag>,
  inCopy: readonly string[],
): Promise<Map<string, SubscriptionWorkers>> {
  const found = new Map<string, SubscriptionWorkers>();
  const rows = await target.maintenance.many(TargetDatabases, targetDatabases());
  const origins = new Set(rows.flatMap(({ origins: names }) => names));
  const queue: string[] = [];
  for (const { database, applying } of rows) {
    const name = subscriptionName(database);
    const slot = slots.get(database);
    if (!origins.has(name) && slot?.plugin !== 'pglogical_output') continue;
    if (applying && slot?.active && !inCopy.includes(database)) {
      found.set(database, { name, database, enabled: true, applying: true, copying: 0, errors: null });
    } else queue.push(database);
  }
  const drain = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const database = target.database(next);
      // A database that cannot be asked is shown by what its slot says.
      const brief = await subscriptionBrief(database).catch(() => undefined);
      await database.close();
      if (!brief) continue;
      const { enabled, running, unfinished } = brief;
      found.set(next, {
        name: subscriptionName(next),
        database: next,
        enabled,
        applying: running,
        copying: unfinished,
        errors: null,
      });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, drain));
  return found;
}
