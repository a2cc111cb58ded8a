/**
 * What each major version has, as data: the first major that offers it.
 * @see https://www.postgresql.org/docs/release/
 */
const SINCE = {
  coveringIndexes: 11,
  analyzeSeveral: 11,
  extendedHash: 11,
  generatedColumns: 12,
  /** No tables WITH OIDS, no abstime, reltime and tinterval. */
  noOids: 12,
  slotWalStatus: 13,
  keepaliveWhenIdle: 13,
  publicationOfPartitionedTables: 13,
  progressOfCopy: 14,
  readAllData: 14,
  sqlFunctionBodies: 14,
  subscriptionStreaming: 14,
  subscriptionBinary: 14,
  localeProvider: 15,
  databaseCollationVersion: 15,
  subscriptionStatistics: 15,
  membershipOptions: 16,
  binaryInitialCopy: 16,
  parallelApply: 16,
  createSubscriptionRole: 16,
  databaseLocale: 17,
  activeReplicationOrigins: 18,
} as const;

export type Feature = keyof typeof SINCE;

/** Whether a server of this major offers the feature. */
export const offers = (major: number, feature: Feature): boolean => major >= SINCE[feature];
