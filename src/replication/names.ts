import { createHash } from 'node:crypto';

/**
 * What is ours in a database is found again by these names alone. A slot's name allows [a-z0-9_] and 63 bytes and
 * subscriptions share one name space per cluster, so the database's name goes in as a hash: no two names fold into one.
 * @see https://www.postgresql.org/docs/current/warm-standby.html#STREAMING-REPLICATION-SLOTS-MANIPULATION
 */
export function subscriptionName(database: string): string {
  return `pgconvoy_${createHash('sha256').update(database).digest('hex').slice(0, 16)}`;
}

/** The slot on the source has the name of the subscription that reads it. */
export const slotName = (database: string): string => subscriptionName(database);

/** Publications live inside their database: one name serves all. */
export const PUBLICATION = 'pgconvoy';

/** Every subscription and slot of ours, as a LIKE pattern. */
export const OURS = 'pgconvoy\\_%';

/** The role that the configuration names where nobody has chosen another. */
const USUAL_ROLE = 'pgconvoy_replication';
const CANARY = 'pgconvoy_canary';

/**
 * The scratch database that proves the engine. Installations that share a cluster have a role each, and so a scratch database
 * each.
 */
export function canaryDatabase(role: string): string {
  if (role === USUAL_ROLE) return CANARY;
  return `${CANARY}_${createHash('sha256').update(role).digest('hex').slice(0, 8)}`;
}

/** Scratch databases are nobody's data: they take no part in an upgrade. */
export const isCanary = (database: string): boolean => /^pgconvoy_canary(_[0-9a-f]{8})?$/.test(database);
