import * as z from 'zod';
import { definePreflight, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { Point } from '../../engine/point.ts';
import { clientTools } from './clusters/client-tools.ts';
import { inventory } from './clusters/inventory.ts';
import { hostRules, reachability } from './clusters/reachability.ts';
import { roles } from './clusters/roles.ts';
import { sourceServer, targetServer, versions } from './clusters/servers.ts';
import { sourceCapacity, targetCapacity } from './clusters/capacity.ts';
import { sourceSettings } from './clusters/source-settings.ts';
import { tablespaces } from './clusters/tablespaces.ts';
import { temporaryFolder } from './clusters/temporary-folder.ts';
import { transactions } from './clusters/transactions.ts';
import { wayBack } from './clusters/way-back.ts';
import { pgbouncers } from './clusters/pgbouncer.ts';
import { pglogical } from './clusters/pglogical.ts';
import { pglogicalSourceCapacity, pglogicalTargetCapacity } from './clusters/pglogical-capacity.ts';
import { lookAtAll } from './concern.ts';
import type { Concern } from './concern.ts';
import type { EngineName } from '../../replication/engine.ts';

/** What an engine needs of the servers, beside what all need. */
const ENGINES: Readonly<Record<EngineName, readonly Concern[]>> = {
  native: [sourceCapacity, targetCapacity],
  pglogical: [pglogical('source'), pglogical('target'), pglogicalSourceCapacity, pglogicalTargetCapacity],
};

const concernsFor = ({ engine, traffic, settings }: OperationContext): readonly Concern[] => [
  temporaryFolder,
  sourceServer,
  targetServer,
  versions,
  clientTools,
  sourceSettings,
  ...ENGINES[engine.name],
  hostRules,
  reachability,
  transactions,
  roles,
  tablespaces,
  inventory,
  ...(traffic.pgbouncers.length > 0 ? [pgbouncers] : []),
  ...(settings.cutover.reverse ? wayBack : []),
];

/** Everything about the two clusters as wholes that could stop an upgrade, or that an operator should know, all at once. */
export const checkClusters = definePreflight({
  name: 'check-clusters',
  title: 'Nothing about the two clusters stands in the way',
  scope: 'cluster',
  input: z.strictObject({}),
  output: z.strictObject({ points: z.array(Point) }),

  async check(context) {
    const { points, findings } = await lookAtAll(context, concernsFor(context));
    const output = { points: [...points] };
    return findings.length > 0 ? lacks(findings, output) : holds(output);
  },
});
