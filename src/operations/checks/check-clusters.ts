import * as z from 'zod';
import { definePreflight, holds, lacks } from '../../engine/operation.ts';
import { clientTools } from './clusters/client-tools.ts';
import { inventory } from './clusters/inventory.ts';
import { reachability } from './clusters/reachability.ts';
import { roles } from './clusters/roles.ts';
import { users, versions } from './clusters/servers.ts';
import { sourceCapacity, targetCapacity } from './clusters/capacity.ts';
import { sourceSettings } from './clusters/source-settings.ts';
import { tablespaces } from './clusters/tablespaces.ts';
import { transactions } from './clusters/transactions.ts';
import { lookAtAll } from './concern.ts';
import type { Concern } from './concern.ts';

const concerns: readonly Concern[] = [
  versions,
  users,
  clientTools,
  sourceSettings,
  sourceCapacity,
  targetCapacity,
  reachability,
  transactions,
  roles,
  tablespaces,
  inventory,
];

/** Everything about the two clusters as wholes that could stop an upgrade, or that an operator should know, all at once. */
export const checkClusters = definePreflight({
  name: 'check-clusters',
  title: 'Nothing about the two clusters stands in the way',
  scope: 'cluster',
  input: z.strictObject({}),
  output: z.strictObject({ concerns: z.int() }),

  async check(context) {
    const found = await lookAtAll(context, concerns);
    return found.length > 0 ? lacks(found) : holds({ concerns: concerns.length });
  },
});
