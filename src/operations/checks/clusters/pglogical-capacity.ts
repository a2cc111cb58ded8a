import { Count, pglogicalWorkers } from '../../../postgres/catalog/pglogical.ts';
import type { BoundCluster } from '../../../postgres/cluster.ts';
import { offers } from '../../../postgres/versions.ts';
import type { CheckPoint, Concern } from '../concern.ts';
import { capacityOf, connections, jobSessions, limitsOf, room } from './capacity.ts';
import type { Budgets, Capacity } from './capacity.ts';

/**
 * What pglogical takes of the source: a slot and a sender for each database, which copies by them as well, and background workers: one
 * that looks after all, and one for each database.
 * @see https://github.com/2ndQuadrant/pglogical/blob/REL2_x_STABLE/docs/README.md
 */
export const pglogicalSourceCapacity: Concern = {
  name: 'capacity of the source',
  side: 'source',
  async look({ sourceCluster, run, settings }) {
    const capacity = await withoutOurs(sourceCluster, run.databases);
    return judgePglogicalSource(capacity, run.databases.length, settings.budgets);
  },
};

/** Of the target: an origin for each database, and background workers: one that looks after all, and two for each database. */
export const pglogicalTargetCapacity: Concern = {
  name: 'capacity of the target',
  side: 'target',
  async look({ targetCluster, run, settings }) {
    const capacity = await withoutOurs(targetCluster, run.databases);
    return judgePglogicalTarget(capacity, run.databases.length, settings.budgets);
  },
};

/** pglogical's workers in databases of the run are not in somebody else's use. */
async function withoutOurs(cluster: BoundCluster, databases: readonly string[]): Promise<Capacity> {
  const capacity = await capacityOf(cluster);
  const { count } = await cluster.maintenance.one(Count, pglogicalWorkers(databases));
  return { ...capacity, sessions: { ...capacity.sessions, workers: Math.max(0, capacity.sessions.workers - count) } };
}

export function judgePglogicalSource(source: Capacity, databases: number, budgets: Budgets): CheckPoint[] {
  const limit = limitsOf(source.limits);
  const why = `one for each of ${databases} databases`;
  const { slots, senders } = source.use;
  return [
    room(limit, {
      code: 'replication-slots',
      side: 'source',
      setting: 'max_replication_slots',
      used: slots,
      needed: databases,
      why,
    }),
    room(limit, {
      code: 'wal-senders',
      side: 'source',
      setting: 'max_wal_senders',
      used: senders,
      needed: databases,
      why,
    }),
    room(limit, {
      code: 'worker-processes',
      side: 'source',
      setting: 'max_worker_processes',
      used: source.sessions.workers,
      needed: databases + 3,
      why: `${why}, pglogical's supervisor, the launcher and one to spare`,
    }),
    // Below 12 a WAL sender takes one of max_connections as well; copies read over sessions of their own.
    connections(
      'source',
      limit,
      source.sessions.connections,
      jobSessions(budgets) + budgets.copies * budgets.tableWorkers + (source.major < 12 ? databases : 0),
    ),
  ];
}

export function judgePglogicalTarget(target: Capacity, databases: number, budgets: Budgets): CheckPoint[] {
  const limit = limitsOf(target.limits);
  const origins = offers(target.major, 'activeReplicationOrigins')
    ? 'max_active_replication_origins'
    : 'max_replication_slots';
  return [
    room(limit, {
      code: 'worker-processes',
      side: 'target',
      setting: 'max_worker_processes',
      used: target.sessions.workers,
      needed: 2 * databases + 3,
      why: `two for each of ${databases} databases, pglogical's supervisor, the launcher and one to spare`,
    }),
    room(limit, {
      code: 'replication-origins',
      side: 'target',
      setting: origins,
      used: target.use.origins,
      needed: databases,
      why: `one for each of ${databases} databases`,
    }),
    connections(
      'target',
      limit,
      target.sessions.connections,
      jobSessions(budgets) + budgets.copies * (budgets.indexWorkers + budgets.tableWorkers),
    ),
  ];
}
