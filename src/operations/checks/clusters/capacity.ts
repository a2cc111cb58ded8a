import type { Concern } from '../concern.ts';
import type { CheckFinding, FindingCode } from '../findings.ts';
import type { Settings } from '../../../config/schema.ts';
import { Sessions, sessionsInUse } from '../../../postgres/catalog/sessions.ts';
import { ReplicationUse, replicationUse } from '../../../postgres/catalog/replication-use.ts';
import { Setting, settingsNamed } from '../../../postgres/catalog/settings.ts';
import type { Side } from '../../../postgres/cluster.ts';
import { offers } from '../../../postgres/versions.ts';
import { OURS } from '../../../replication/names.ts';

const NAMES = [
  'max_connections',
  'superuser_reserved_connections',
  'reserved_connections',
  'max_replication_slots',
  'max_wal_senders',
  'max_worker_processes',
  'max_logical_replication_workers',
  'max_sync_workers_per_subscription',
  'max_active_replication_origins',
];

/** What one server has and what of it is in use by others than pgconvoy. */
export interface Capacity {
  readonly major: number;
  readonly limits: readonly Setting[];
  readonly use: ReplicationUse;
  readonly sessions: Sessions;
}

/** Slots, senders, workers, origins and connections, counted for all databases of the run against what is in use. */
export const sourceCapacity: Concern = {
  name: 'capacity of the source',
  side: 'source',
  async look({ source, sourceCluster, settings, run }) {
    const { major } = await sourceCluster.facts();
    return judgeSourceCapacity(
      {
        major,
        limits: await source.many(Setting, settingsNamed(NAMES)),
        use: await source.one(ReplicationUse, replicationUse(OURS)),
        sessions: await source.one(Sessions, sessionsInUse()),
      },
      run.databases.length,
      settings.budgets,
    );
  },
};

export const targetCapacity: Concern = {
  name: 'capacity of the target',
  side: 'target',
  async look({ target, targetCluster, settings, run }) {
    const { major } = await targetCluster.facts();
    return judgeTargetCapacity(
      {
        major,
        limits: await target.many(Setting, settingsNamed(NAMES)),
        use: await target.one(ReplicationUse, replicationUse(OURS)),
        sessions: await target.one(Sessions, sessionsInUse()),
      },
      run.databases.length,
      settings.budgets,
    );
  },
};

type Budgets = Settings['budgets'];

/** Tables that may be copied at the same time, each with a slot, a sender, a worker and an origin of its own. */
const tableCopies = (databases: number, budgets: Budgets): number =>
  Math.min(databases, budgets.copies) * budgets.tableWorkers;

/** Sessions of the workers' jobs: one for each job that runs at the same time. */
const jobSessions = (budgets: Budgets): number => budgets.operations + budgets.copies + budgets.cutovers;

/**
 * @see https://www.postgresql.org/docs/current/logical-replication-config.html
 */
export function judgeSourceCapacity(source: Capacity, databases: number, budgets: Budgets): CheckFinding[] {
  const limit = limitsOf(source.limits);
  const copies = tableCopies(databases, budgets);
  const why = `one for each of ${databases} databases and ${copies} for table copies`;
  // Below 12 a WAL sender takes one of max_connections as well.
  const senders = source.major < 12 ? databases + copies : 0;
  return [
    ...short('replication-slots', 'source', 'max_replication_slots', limit, source.use.slots, databases + copies, why),
    ...short('wal-senders', 'source', 'max_wal_senders', limit, source.use.senders, databases + copies, why),
    ...connections('source', limit, source.sessions.connections, jobSessions(budgets) + senders),
  ];
}

export function judgeTargetCapacity(target: Capacity, databases: number, budgets: Budgets): CheckFinding[] {
  const limit = limitsOf(target.limits);
  const copies = tableCopies(databases, budgets);
  const workers = databases + copies;
  const why = `one for each of ${databases} databases and ${copies} for table copies`;
  const origins = offers(target.major, 'activeReplicationOrigins')
    ? 'max_active_replication_origins'
    : 'max_replication_slots';
  const found = [
    ...short(
      'replication-workers',
      'target',
      'max_logical_replication_workers',
      limit,
      target.use.subscriptions,
      workers,
      why,
    ),
    ...short(
      'worker-processes',
      'target',
      'max_worker_processes',
      limit,
      target.sessions.workers + target.use.subscriptions,
      workers + 1,
      `the launcher, ${why}`,
    ),
    ...short('replication-origins', 'target', origins, limit, target.use.origins, workers, why),
    ...connections(
      'target',
      limit,
      target.sessions.connections,
      jobSessions(budgets) + budgets.copies * budgets.indexWorkers,
    ),
  ];
  const sync = limit.get('max_sync_workers_per_subscription') ?? budgets.tableWorkers;
  if (sync < budgets.tableWorkers) {
    found.push({
      code: 'sync-workers',
      severity: 'warning',
      side: 'target',
      object: 'max_sync_workers_per_subscription',
      message: `max_sync_workers_per_subscription of the target is ${sync}, so at most ${sync} tables of a database are copied at once; budgets.tableWorkers asks for ${budgets.tableWorkers}.`,
      remedy: `On the target: ALTER SYSTEM SET max_sync_workers_per_subscription = ${budgets.tableWorkers}; SELECT pg_reload_conf(); (no restart)`,
    });
  }
  return found;
}

const limitsOf = (settings: readonly Setting[]): ReadonlyMap<string, number> =>
  new Map(settings.map(({ name, value }) => [name, Number(value)]));

function short(
  code: FindingCode,
  side: Side,
  setting: string,
  limits: ReadonlyMap<string, number>,
  used: number,
  needed: number,
  why: string,
): CheckFinding[] {
  const limit = limits.get(setting) ?? 0;
  if (limit - used >= needed) return [];
  return [
    {
      code,
      severity: 'block',
      side,
      object: setting,
      message: `${setting} of the ${side} is ${limit}: ${used} in use, ${Math.max(0, limit - used)} free, ${needed} needed (${why}).`,
      remedy: `On the ${side}: ALTER SYSTEM SET ${setting} = ${used + needed}; then restart it. Or take fewer databases at a time (databases.include), or lower budgets.copies.`,
    },
  ];
}

function connections(side: Side, limits: ReadonlyMap<string, number>, used: number, needed: number): CheckFinding[] {
  const most = limits.get('max_connections') ?? 0;
  const reserved = (limits.get('superuser_reserved_connections') ?? 0) + (limits.get('reserved_connections') ?? 0);
  const free = most - reserved - used;
  if (free >= needed) return [];
  return [
    {
      code: 'connections',
      severity: 'block',
      side,
      object: 'max_connections',
      message: `max_connections of the ${side} is ${most}: ${used} in use, ${reserved} reserved, ${Math.max(0, free)} free, ${needed} needed.`,
      remedy: `On the ${side}: ALTER SYSTEM SET max_connections = ${used + reserved + needed}; then restart it. Or lower budgets.operations, copies and cutovers.`,
    },
  ];
}
