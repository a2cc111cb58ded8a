import { TargetDatabases, targetDatabases } from '../../postgres/catalog/pglogical.ts';
import type { BoundCluster } from '../../postgres/cluster.ts';
import type { SubscriptionOverview } from '../engine.ts';
import { subscriptionName } from '../names.ts';
import { copySession } from './names.ts';
import { subscriptionBrief } from './subscriber.ts';

/** Connections to the target at once. */
const AT_ONCE = 8;

/**
 * pglogical's subscriptions live inside their databases. One query tells which of them have one of ours and a worker at it; only those
 * whose worker is missing are asked.
 */
export async function overview(
  targetCluster: BoundCluster,
  databases: readonly string[],
): Promise<readonly SubscriptionOverview[]> {
  const rows = await targetCluster.maintenance.many(TargetDatabases, targetDatabases());
  const origins = new Set(rows.flatMap(({ origins: names }) => names));
  const overviews: SubscriptionOverview[] = [];
  const queue: string[] = [];
  for (const { database, applying, copies } of rows) {
    const name = subscriptionName(database);
    if (!origins.has(name) && !databases.includes(database)) continue;
    const copying = copies.filter((session) => session === copySession(name)).length;
    if (applying && origins.has(name)) overviews.push({ database, enabled: true, applying, copying });
    else queue.push(database);
  }
  const drain = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const database = targetCluster.database(next);
      // A database that cannot be asked is shown by what its slot says.
      const brief = await subscriptionBrief(database).catch(() => undefined);
      await database.close();
      if (!brief) continue;
      overviews.push({
        database: next,
        enabled: brief.enabled,
        applying: brief.running,
        copying: brief.running ? brief.unfinished : 0,
      });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, drain));
  return overviews;
}
