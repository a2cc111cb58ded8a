/**
 * What each major version has, as data: the first major that offers it. A major before 10 is the number 9.4, 9.5 or 9.6.
 * @see https://www.postgresql.org/docs/release/
 */
const SINCE = {
  /** The setting row_security and BYPASSRLS. */
  rowSecurity: 9.5,
  /** INSERT … ON CONFLICT. */
  onConflict: 9.5,
  /** pg_replication_slots.active_pid. */
  slotActivePid: 9.5,
  /** pg_replication_origin; before, the extension pglogical_origin makes up for it. */
  replicationOrigins: 9.5,
  rowPolicies: 9.5,
  /** FOR UPDATE SKIP LOCKED. */
  skipLocked: 9.5,
  tableSample: 9.5,
  transforms: 9.5,
  /** ALTER DATABASE … ALLOW_CONNECTIONS. */
  allowConnectionsOption: 9.5,
  /** pg_control_system(). */
  controlData: 9.6,
  /** pg_replication_slots.confirmed_flush_lsn. */
  slotConfirmedLsn: 9.6,
  /** pg_logical_emit_message(). */
  logicalMessages: 9.6,
  accessMethods: 9.6,
  /** CREATE PUBLICATION and CREATE SUBSCRIPTION: the native engine. */
  publications: 10,
  /** wal and lsn in names of functions and columns; before, xlog and location. */
  walNames: 10,
  /** pg_stat_replication.flush_lag. */
  replicationLag: 10,
  /** pg_stat_activity.backend_type, and processes in it that are nobody's session. */
  backendType: 10,
  /** pg_sequence; before, the definition of a sequence is read from the sequence itself. */
  sequenceCatalog: 10,
  temporarySlots: 10,
  /** EXPORT_SNAPSHOT, in the replication protocol. */
  exportSnapshotOption: 10,
  hbaFileRules: 10,
  scramPasswords: 10,
  /** pg_current_logfile(). */
  currentLogFile: 10,
  extendedStatistics: 10,
  identityColumns: 10,
  /** txid_status(). */
  transactionStatus: 10,
  publishTruncate: 11,
  coveringIndexes: 11,
  analyzeSeveral: 11,
  /** pg_constraint.conparentid: foreign keys of partitioned tables. */
  inheritedConstraints: 11,
  extendedHash: 11,
  jit: 11,
  /** pg_stat_replication.reply_time. */
  replyTime: 12,
  generatedColumns: 12,
  /** SET NOT NULL trusts a validated CHECK and reads no row. */
  notNullByCheck: 12,
  /** With extra_float_digits above 0 a float is printed by the fewest digits that tell it from all others. */
  shortestFloats: 12,
  /** No tables WITH OIDS, no abstime, reltime and tinterval. */
  noOids: 12,
  slotWalStatus: 13,
  keepaliveWhenIdle: 13,
  publicationOfPartitionedTables: 13,
  progressOfCopy: 14,
  readAllData: 14,
  /** A range of ctid reads its pages alone. */
  tidRangeScan: 14,
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
  transactionTimeout: 17,
  activeReplicationOrigins: 18,
} as const;

export type Feature = keyof typeof SINCE;

/** Newer than all of them: what a statement reads like as long as no server is asked. */
export const ANY_NEWER = 99;

/** The major of a server_version_num: 90426 is 9.4, 150020 is 15. */
export const majorOf = (versionNum: number): number => {
  const first = Math.floor(versionNum / 10_000);
  return first >= 10 ? first : first + (Math.floor(versionNum / 100) % 100) / 10;
};

/**
 * The major of what a server says of itself at the start of a session: "9.4.26", "18beta1", "15.20 (Debian 15.20-1)".
 * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-ASYNC
 */
export function majorOfText(version: string): number {
  const [, first = '', second = ''] = /^(\d+)(?:\.(\d+))?/.exec(version) ?? [];
  return Number(first) >= 10 ? Number(first) : Number(`${first}.${second}`);
}

/** Whether a server of this major offers the feature. */
export const offers = (major: number, feature: Feature): boolean => major >= SINCE[feature];
