import { subscriptionName } from '../names.ts';
import type { Side } from '../../postgres/cluster.ts';

/** Sets live inside their node: one name serves all databases. Never the default sets, which belong to everybody. */
export const REPLICATION_SET = 'pgconvoy';

/** A node's number is a hash of its name, and the target knows both nodes: so no two of ours have the same name. */
export const nodeName = (side: Side, database: string): string =>
  subscriptionName(database).replace(/^pgconvoy_/, `pgconvoy_${side}_`);

/** Every node of ours, as a LIKE pattern. */
export const OUR_NODES = 'pgconvoy\\_%';

/** What pglogical's sessions that copy tables call themselves. */
export const copySession = (subscription: string): string => `${subscription}_copy`;
