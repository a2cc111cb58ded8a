import type { OperationContext } from '../../../engine/operation.ts';
import type { Side } from '../../../postgres/cluster.ts';
import { offers } from '../../../postgres/versions.ts';
import { swapped } from '../../replication/way-back.ts';
import { findingsIn } from '../concern.ts';
import type { CheckPoint, Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';
import { inWords, ofWayBack } from '../other-direction.ts';
import { capacityOf, limitsOf, room } from './capacity.ts';
import type { Capacity } from './capacity.ts';
import { pglogicalTargetCapacity } from './pglogical-capacity.ts';
import { hostRules, reachability } from './reachability.ts';
import { sourceSettings } from './source-settings.ts';
import { transactions } from './transactions.ts';

/** What one more direction takes of both servers: they are asked what the other one is asked for the way forth. */
export const wayBack: readonly Concern[] = [
  back(sourceSettings, 'target', ['target']),
  back(hostRules, 'target', ['source', 'target']),
  back(reachability, 'source', ['source', 'target']),
  back(transactions, 'target', ['target']),
  {
    name: 'the way back: capacity of the target',
    side: 'target',
    look: async ({ targetCluster, run }) =>
      judgeTargetForWayBack(await capacityOf(targetCluster), run.databases.length).map(forWayBack),
  },
  {
    name: 'the way back: capacity of the source',
    side: 'source',
    async look(context) {
      const { sourceCluster, run, engine } = context;
      const { major } = await sourceCluster.facts();
      if (!offers(major, 'replicationOrigins')) return [unsupported(major)];
      if (engine.name === 'pglogical') return mirror(await pglogicalTargetCapacity.look(swapped(context)));
      return [
        ...judgeSourceForWayBack(await capacityOf(sourceCluster), run.databases.length).map(forWayBack),
        ...(offers(major, 'publishTruncate') ? [] : [noTruncate(major)]),
      ];
    },
  },
];

/** A concern in the other direction, in the words of the configuration. */
function back(concern: Concern, side: Side, asks: readonly Side[]): Concern {
  return {
    name: `the way back: ${inWords(concern.name)}`,
    side,
    asks,
    async look(context: OperationContext) {
      const { major } = await context.sourceCluster.facts();
      // A source that knows no subscriptions cannot be had to connect by one.
      if (concern === reachability && !offers(major, 'publications')) return [];
      return mirror(await concern.look(swapped(context)));
    },
  };
}

const mirror = (seen: readonly (CheckFinding | CheckPoint)[]): (CheckFinding | CheckPoint)[] =>
  seen.map((each) =>
    'findings' in each
      ? forWayBack({ ...each, title: inWords(each.title), findings: each.findings.map(mirrored) })
      : ofWayBack(mirrored(each)),
  );

/** Where a subscription begins is kept in an origin; 9.4 has them only inside pglogical. */
const unsupported = (major: number): CheckFinding => ({
  code: 'way-back-unsupported',
  severity: 'block',
  side: 'source',
  message: `The source is PostgreSQL ${major}: rows can travel back only to 9.5 and later.`,
  remedy: 'Set cutover.reverse: false in the configuration; then a cutover is for good.',
});

/** Its workers end at the first word of one, so the new cluster does not send it. */
const noTruncate = (major: number): CheckFinding => ({
  code: 'way-back-truncate',
  severity: 'warning',
  side: 'source',
  message: `The source is PostgreSQL ${major}, to which TRUNCATE does not travel: a table that is emptied by it on the target keeps its rows on the source.`,
  remedy:
    'Let applications use DELETE as long as you may want to go back. A rollback compares both sides and tells such a table.',
});

const mirrored = (finding: CheckFinding): CheckFinding => ({
  ...finding,
  side: finding.side === 'source' ? 'target' : 'source',
  message: inWords(finding.message),
  remedy: inWords(finding.remedy),
});

const forWayBack = (point: CheckPoint): CheckPoint => ({
  ...point,
  id: `way-back-${point.id}`,
  title: `the way back: ${point.title}`,
  findings: findingsIn([point]).map(ofWayBack),
});

/** @see https://www.postgresql.org/docs/current/logical-replication-config.html */
function judgeTargetForWayBack(target: Capacity, databases: number): CheckPoint[] {
  const limits = limitsOf(target.limits);
  const demand = { side: 'target', needed: databases, why: `one for each of ${databases} databases` } as const;
  const { slots, senders } = target.use;
  return [
    room(limits, { ...demand, code: 'replication-slots', setting: 'max_replication_slots', used: slots }),
    room(limits, { ...demand, code: 'wal-senders', setting: 'max_wal_senders', used: senders }),
  ];
}

/** @see https://www.postgresql.org/docs/current/logical-replication-config.html */
function judgeSourceForWayBack(source: Capacity, databases: number): CheckPoint[] {
  const limits = limitsOf(source.limits);
  const demand = { side: 'source', needed: databases, why: `one for each of ${databases} databases` } as const;
  const { subscriptions, origins } = source.use;
  const originSetting = offers(source.major, 'activeReplicationOrigins')
    ? 'max_active_replication_origins'
    : 'max_replication_slots';
  return [
    room(limits, {
      ...demand,
      code: 'replication-workers',
      setting: 'max_logical_replication_workers',
      used: subscriptions,
    }),
    room(limits, {
      ...demand,
      code: 'worker-processes',
      setting: 'max_worker_processes',
      used: source.sessions.workers + subscriptions,
      needed: databases + 1,
      why: `the launcher, and ${demand.why}`,
    }),
    room(limits, { ...demand, code: 'replication-origins', setting: originSetting, used: origins }),
  ];
}
