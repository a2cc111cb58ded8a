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
