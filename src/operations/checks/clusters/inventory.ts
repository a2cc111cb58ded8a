import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';
import {
  otherSlots,
  otherSubscriptions,
  ReplicationSlot,
  Subscription,
} from '../../../postgres/catalog/replication-use.ts';
import { ListedDatabase, listedDatabases } from '../../../postgres/catalog/listed-databases.ts';
import { id, lit } from '../../../postgres/sql.ts';
import { offers } from '../../../postgres/versions.ts';
import { OURS } from '../../../replication/names.ts';

/** What of others hangs on the source and stays behind. */
export const inventory: Concern = {
  name: 'slots, subscriptions and closed databases of the source',
  side: 'source',
  async look({ source, sourceCluster }) {
    const { major } = await sourceCluster.facts();
    const slots = judgeSlots(await source.many(ReplicationSlot, otherSlots(OURS)));
    const subscriptions = judgeSubscriptions(await source.many(Subscription, otherSubscriptions(OURS)));
    const closed = judgeClosedDatabases(await source.many(ListedDatabase, listedDatabases()), major);
    return [
      { id: 'other-slots', title: 'replication slots of others', findings: slots },
      { id: 'other-subscriptions', title: 'subscriptions to others', findings: subscriptions },
      { id: 'closed-databases', title: 'databases that accept no connections', findings: closed },
    ];
  },
};

export const judgeSlots = (slots: readonly ReplicationSlot[]): CheckFinding[] =>
  slots.map(({ name, kind, plugin, database, active }) => ({
    code: 'foreign-slot',
    severity: 'warning',
    side: 'source',
    database: database ?? undefined,
    object: name,
    message:
      kind === 'physical'
        ? `Physical slot "${name}"${active ? ', in use' : ''}: a standby or backup that follows the source. It does not follow the target.`
        : `Logical slot "${name}" (${plugin})${active ? ', in use' : ''}: its consumer keeps following the source.`,
    remedy: `Plan how its consumer moves to the target.${active ? '' : ` If nobody needs it, on the source: SELECT pg_drop_replication_slot('${name}');`}`,
  }));

export const judgeSubscriptions = (subscriptions: readonly Subscription[]): CheckFinding[] =>
  subscriptions.map(({ name, database, enabled }) => ({
    code: 'source-subscription',
    severity: 'warning',
    side: 'source',
    database,
    object: name,
    message: `Database "${database}" subscribes to another server ("${name}"${enabled ? '' : ', disabled'}); subscriptions are not moved. Rows it receives until the switch are.`,
    remedy: `After the switch, make the subscription on the target (copy_data = false) and drop it on the source: DROP SUBSCRIPTION ${id(name).text};`,
  }));

/** template0 is closed everywhere; nobody keeps anything in it. */
export const judgeClosedDatabases = (databases: readonly ListedDatabase[], major: number): CheckFinding[] =>
  databases
    .filter(({ name, connectable, invalid }) => (!connectable || invalid) && name !== 'template0')
    .map(({ name, invalid }) => ({
      code: 'database-refuses-connections',
      severity: 'warning',
      side: 'source',
      database: name,
      message: invalid
        ? `Database "${name}" is invalid: dropping it was interrupted. It is not moved.`
        : `Database "${name}" accepts no connections. It is not moved.`,
      remedy: invalid
        ? `On the source: DROP DATABASE ${id(name).text};`
        : `To move it, on the source: ${opening(name, major)} else leave it.`,
    }));

const opening = (name: string, major: number): string =>
  offers(major, 'allowConnectionsOption')
    ? `ALTER DATABASE ${id(name).text} WITH ALLOW_CONNECTIONS true;`
    : `UPDATE pg_database SET datallowconn = true WHERE datname = ${lit(name).text.trim()};`;
