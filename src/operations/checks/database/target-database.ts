import type * as z from 'zod';
import {
  DatabaseDefinition,
  databaseDefinition,
  UserObjects,
  userObjects,
} from '../../../postgres/catalog/database-definitions.ts';
import { Subscription, subscriptionsOf } from '../../../postgres/catalog/replication-use.ts';
import { id } from '../../../postgres/sql.ts';
import { subscriptionName } from '../../../replication/names.ts';
import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';

/** The target has no database of this name, or an empty one of the same kind, or one that is of our making. */
export const targetDatabase: Concern = {
  name: 'the database on the target',
  side: 'target',
  asks: ['source', 'target'],
  async look({ source, target, sourceCluster, targetCluster, targetLedger }) {
    const { maintenance } = targetCluster;
    const found = await maintenance.maybe(DatabaseDefinition, databaseDefinition(target.name));
    // What an interrupted DROP DATABASE left is nobody's: setup clears it away.
    if (!found || found.connectionLimit === -2) return [];
    const notes = await targetLedger.entries(undefined, target.name);
    const subscriptions = await maintenance.many(Subscription, subscriptionsOf(target.name));
    const ours = notes.length > 0 || subscriptions.some(({ name }) => name === subscriptionName(target.name));
    if (ours) return [];
    const wanted = await sourceCluster.maintenance.one(DatabaseDefinition, databaseDefinition(source.name));
    return judgeTargetDatabase(wanted, found, await target.maybe(UserObjects, userObjects()));
  },
};

export function judgeTargetDatabase(
  wanted: DatabaseDefinition,
  found: DatabaseDefinition,
  objects: z.output<typeof UserObjects> | undefined,
): CheckFinding[] {
  const database = found.name;
  const place = { severity: 'block', side: 'target', database } as const;
  const drop = `If nobody needs it there, on the target: DROP DATABASE ${id(database).text};`;
  if (objects) {
    return [
      {
        ...place,
        code: 'target-database-not-empty',
        message: `Database "${database}" exists on the target, was not made by pgconvoy and already holds ${objects.count} ${objects.count === 1 ? 'object, namely' : 'objects, among them'} ${objects.examples.join(', ')}.`,
        remedy: `${drop} Else leave "${database}" out with databases.exclude.`,
      },
    ];
  }
  // How ICU spells a locale differs by major, so that is not compared.
  const keys = ['encoding', 'provider', ...(wanted.provider === 'c' ? (['collate', 'ctype'] as const) : [])] as const;
  const differing = keys.filter((key) => wanted[key] !== found[key]);
  if (differing.length === 0) return [];
  return [
    {
      ...place,
      code: 'target-database-differs',
      message: `Database "${database}" exists on the target, empty, with ${differing.map((key) => `${key} ${found[key]} instead of ${wanted[key]}`).join(', ')}; that cannot be changed.`,
      remedy: `${drop} Setup makes it anew, as it is on the source.`,
    },
  ];
}
