import type { CheckPoint, Concern } from '../concern.ts';
import type { CheckFinding, FindingCode } from '../findings.ts';
import type { Settings } from '../../../config/schema.ts';
import { Sessions, sessionsInUse } from '../../../postgres/catalog/sessions.ts';
import { ReplicationUse, replicationUse } from '../../../postgres/catalog/replication-use.ts';
import { Setting, settingsNamed } from '../../../postgres/catalog/settings.ts';
import type { BoundCluster, Side } from '../../../postgres/cluster.ts';
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
  look: async (context) =>
    judgeSourceCapacity(
      await capacityOf(context.sourceCluster),
      context.run.databases.length,
      context.settings.budgets,
    ),
};

export const targetCapacity: Concern = {
  name: 'capacity of the target',
  side: 'target',
  look: async (context) =>
    judgeTargetCapacity(
      await capacityOf(context.targetCluster),
      context.run.databases.length,
      context.settings.budgets,
    ),
};

export async function capacityOf(cluster: BoundCluster): Promise<Capacity> {
  const { major } = await cluster.facts();
  return {
    major,
    limits: await cluster.maintenance.many(Setting, settingsNamed(NAMES)),
    use: await cluster.maintenance.one(ReplicationUse, replicationUse(OURS)),
    sessions: await cluster.maintenance.one(Sessions, sessionsInUse()),
  };
}

export type Budgets = Settings['budgets'];

/** Tables that may be copied at the same time, each with a slot, a sender, a worker and an origin of its own. */
const tableCopies = (databases: number, budgets: Budgets): number =>
  Math.min(databases, budgets.copies) * budgets.tableWorkers;

/** Sessions of the workers' jobs: one for each job that runs at the same time. */
export const jobSessions = (budgets: Budgets): number => budgets.operations + budgets.copies + budgets.cutovers;

/** @see https://www.postgresql.org/docs/current/logical-replication-config.html */
export function judgeSourceCapacity(source: Capacity, databases: number, budgets: Budgets): CheckPoint[] {
  const limit = limitsOf(source.limits);
  const copies = tableCopies(databases, budgets);
  const needed = databases + copies;
  const why = `one for each of ${databases} databases and ${copies} for table copies`;
  // Below 12 a WAL sender takes one of max_connections as well.
  const senders = source.major < 12 ? needed : 0;
  const { slots, senders: senderUse } = source.use;
  return [
    room(limit, {
      code: 'replication-slots',
      side: 'source',
      setting: 'max_replication_slots',
      used: slots,
      needed,
      why,
    }),
    room(limit, { code: 'wal-senders', side: 'source', setting: 'max_wal_senders', used: senderUse, needed, why }),
    connections('source', limit, source.sessions.connections, jobSessions(budgets) + senders),
  ];
}

/** @see https://www.postgresql.org/docs/current/logical-replication-config.html */
export function judgeTargetCapacity(target: Capacity, databases: number, budgets: Budgets): CheckPoint[] {
  const limit = limitsOf(target.limits);
  const copies = tableCopies(databases, budgets);
  const workers = databases + copies;
  const why = `one for each of ${databases} databases and ${copies} for table copies`;
  const origins = offers(target.major, 'activeReplicationOrigins')
    ? 'max_active_replication_origins'
    : 'max_replication_slots';
  const { subscriptions } = target.use;
  return [
    room(limit, {
      code: 'replication-workers',
      side: 'target',
      setting: 'max_logical_replication_workers',
      used: subscriptions,
      needed: workers,
      why,
    }),
    room(limit, {
      code: 'worker-processes',
      side: 'target',
      setting: 'max_worker_processes',
      used: target.sessions.workers + subscriptions,
      needed: workers + 1,
      why: `the launcher, ${why}`,
    }),
    room(limit, {
      code: 'replication-origins',
      side: 'target',
      setting: origins,
      used: target.use.origins,
      needed: workers,
      why,
    }),
    connections(
      'target',
      limit,
      target.sessions.connections,
      jobSessions(budgets) + budgets.copies * budgets.indexWorkers,
    ),
    syncWorkers(limit.get('max_sync_workers_per_subscription') ?? budgets.tableWorkers, budgets),
  ];
}

function syncWorkers(sync: number, { tableWorkers }: Budgets): CheckPoint {
  const setting = 'max_sync_workers_per_subscription';
  const findings: CheckFinding[] = [];
  if (sync < tableWorkers) {
    findings.push({
      code: 'sync-workers',
      severity: 'warning',
      side: 'target',
      object: setting,
      message: `${setting} of the target is ${sync}, so at most ${sync} tables of a database are copied at once; budgets.tableWorkers asks for ${tableWorkers}.`,
      remedy: `On the target: ALTER SYSTEM SET ${setting} = ${tableWorkers}; SELECT pg_reload_conf(); (no restart)`,
    });
  }
  return { id: setting, title: setting, detail: `${sync}, ${tableWorkers} wanted`, findings };
}

export const limitsOf = (settings: readonly Setting[]): ReadonlyMap<string, number> =>
  new Map(settings.map(({ name, value }) => [name, Number(value)]));

interface Demand {
  readonly code: FindingCode;
  readonly side: Side;
  readonly setting: string;
  /** By others than pgconvoy. */
  readonly used: number;
  readonly needed: number;
  /** What needs them. */
  readonly why: string;
}

/** Whether a limit leaves room for what pgconvoy needs beside what others use. */
export function room(
  limits: ReadonlyMap<string, number>,
  { code, side, setting, used, needed, why }: Demand,
): CheckPoint {
  const limit = limits.get(setting) ?? 0;
  const free = Math.max(0, limit - used);
  const findings: CheckFinding[] = [];
  if (limit - used < needed) {
    findings.push({
      code,
      severity: 'block',
      side,
      object: setting,
      message: `${setting} of the ${side} is ${limit}: ${used} in use, ${free} free, ${needed} needed (${why}).`,
      remedy: `On the ${side}: ALTER SYSTEM SET ${setting} = ${used + needed}; then restart it. Or take fewer databases at a time (databases.include), or lower budgets.copies.`,
    });
  }
  return { id: setting, title: setting, capacity: { limit, used, free, needed }, findings };
}

export function connections(side: Side, limits: ReadonlyMap<string, number>, used: number, needed: number): CheckPoint {
  const setting = 'max_connections';
  const limit = limits.get(setting) ?? 0;
  const reserved = (limits.get('superuser_reserved_connections') ?? 0) + (limits.get('reserved_connections') ?? 0);
  const free = Math.max(0, limit - reserved - used);
  const findings: CheckFinding[] = [];
  if (free < needed) {
    findings.push({
      code: 'connections',
      severity: 'block',
      side,
      object: setting,
      message: `${setting} of the ${side} is ${limit}: ${used} in use, ${reserved} reserved, ${free} free, ${needed} needed.`,
      remedy: `On the ${side}: ALTER SYSTEM SET ${setting} = ${used + reserved + needed}; then restart it. Or lower budgets.operations, copies and cutovers.`,
    });
  }
  return { id: setting, title: setting, capacity: { limit, used: used + reserved, free, needed }, findings };
}
