import type { Finding } from '../../engine/finding.ts';

/**
 * Every code a check can produce, for the documentation and for `accept:` in the configuration. The finding itself carries
 * the values found and the exact lines to type; this is what the code means in general.
 */
export const FINDINGS = [
  // Both clusters
  {
    code: 'cannot-look',
    meaning: 'One of the checks could not look, usually for want of a privilege.',
    remedy: 'Mend the cause that the finding names, then check again.',
  },
  {
    code: 'server-unreachable',
    meaning: 'A server cannot be reached, or refuses us. What concerns the other one is checked all the same.',
    remedy: 'See that it is up, and that host, port, user, password and sslmode in the configuration are right.',
  },
  {
    code: 'temporary-folder',
    meaning: 'The folder for temporary files, where dumps of schemas are put, is not there or not writable.',
    remedy: 'Make it writable for the user that the worker runs as, or start the worker with another TMPDIR.',
  },
  {
    code: 'version-unsupported',
    meaning: 'The major version is older than what the engine can do, or newer than what was tried.',
    remedy: 'Use a source of PostgreSQL 10 to 18 (9.4 with engine: pglogical) and a target of 10 to 18.',
  },
  {
    code: 'target-older',
    meaning: 'The target has an older major version than the source.',
    remedy: 'Point the target at a server of the same or a newer major version.',
  },
  {
    code: 'same-cluster',
    meaning: 'Source and target are the same cluster, or one is a physical copy of the other.',
    remedy: 'Make the target with initdb and point the configuration at it.',
  },
  {
    code: 'standby',
    meaning: 'The server is a standby: nothing can be changed on it.',
    remedy: 'Point the configuration at the primary.',
  },
  {
    code: 'not-superuser',
    meaning: 'The configured user is not a superuser.',
    remedy: 'ALTER ROLE … SUPERUSER, or configure another user.',
  },
  {
    code: 'client-tools',
    meaning: 'pg_dump and pg_restore are missing, or of a major version that does not fit both servers.',
    remedy: "Install the client programs of the target's major version, or name their folder with tools.bin.",
  },
  {
    code: 'connections',
    meaning: 'Fewer connections are free than pgconvoy needs.',
    remedy: 'Raise max_connections, or lower the budgets in the configuration.',
  },
  {
    code: 'pglogical-missing',
    meaning: 'The extension pglogical is not available on a server, and the engine is pglogical.',
    remedy: 'Install its package on the machine of that server, or set engine: native.',
  },
  {
    code: 'pglogical-not-preloaded',
    meaning: 'shared_preload_libraries of a server does not name pglogical, and the engine is pglogical.',
    remedy: 'ALTER SYSTEM SET shared_preload_libraries, then restart that server.',
  },
  // The source
  {
    code: 'wal-level',
    meaning: 'wal_level is not logical: the source writes no WAL that can be decoded into rows.',
    remedy: "ALTER SYSTEM SET wal_level = 'logical', then restart the source.",
  },
  {
    code: 'replication-slots',
    meaning: 'The source has too few replication slots for all databases and table copies.',
    remedy: 'ALTER SYSTEM SET max_replication_slots, then restart the source.',
  },
  {
    code: 'wal-senders',
    meaning: 'The source has too few WAL senders for all databases and table copies.',
    remedy: 'ALTER SYSTEM SET max_wal_senders, then restart the source.',
  },
  {
    code: 'output-plugin',
    meaning:
      'output_plugin_libraries of the source does not list the library of the engine (pgoutput, pglogical_output), so no slot can be made.',
    remedy: 'ALTER SYSTEM SET output_plugin_libraries, then reload the source.',
  },
  {
    code: 'slot-wal-limit',
    meaning: 'max_slot_wal_keep_size of the source is limited: a slot that falls further behind is lost.',
    remedy: 'ALTER SYSTEM SET max_slot_wal_keep_size = -1 for the time of the upgrade, then reload the source.',
  },
  {
    code: 'slot-idle-timeout',
    meaning: 'idle_replication_slot_timeout of the source is set: a slot that nobody reads for so long is lost.',
    remedy: 'ALTER SYSTEM SET idle_replication_slot_timeout = 0 for the time of the upgrade, then reload the source.',
  },
  {
    code: 'prepared-transaction',
    meaning: 'A prepared transaction holds up the creation of slots, and is not carried to the target.',
    remedy: 'COMMIT PREPARED or ROLLBACK PREPARED in its database.',
  },
  {
    code: 'long-transaction',
    meaning: 'A write transaction has been open for more than a minute: slots are not made before it ends.',
    remedy: 'Let it end, or end it with pg_terminate_backend.',
  },
  {
    code: 'source-subscription',
    meaning: 'The source itself subscribes to another server; subscriptions are not moved.',
    remedy: 'Make the subscription on the target after the switch.',
  },
  {
    code: 'foreign-slot',
    meaning: 'A replication slot of somebody else: its consumer keeps following the old cluster.',
    remedy: 'Plan how its consumer moves to the target; slots are not moved.',
  },
  {
    code: 'database-refuses-connections',
    meaning: 'A database accepts no connections, so it is not moved.',
    remedy: 'ALTER DATABASE … ALLOW_CONNECTIONS true, or drop it, or leave it behind.',
  },
  // The target, and the way from it to the source
  {
    code: 'replication-workers',
    meaning: 'max_logical_replication_workers of the target is too low for all databases and table copies.',
    remedy: 'ALTER SYSTEM SET max_logical_replication_workers, then restart the target.',
  },
  {
    code: 'worker-processes',
    meaning: 'max_worker_processes of the target is too low for its replication workers.',
    remedy: 'ALTER SYSTEM SET max_worker_processes, then restart the target.',
  },
  {
    code: 'sync-workers',
    meaning: 'max_sync_workers_per_subscription of the target is lower than budgets.tableWorkers.',
    remedy: 'ALTER SYSTEM SET max_sync_workers_per_subscription, then reload the target.',
  },
  {
    code: 'replication-origins',
    meaning:
      'The target can follow too few replication origins (max_active_replication_origins from 18 on, max_replication_slots before).',
    remedy: 'ALTER SYSTEM SET max_active_replication_origins or max_replication_slots, then restart the target.',
  },
  {
    code: 'source-unreachable',
    meaning: 'The target server cannot reach the source.',
    remedy:
      'Set source.fromTarget to the address the target reaches the source by; see listen_addresses and firewalls.',
  },
  {
    code: 'pg-hba',
    meaning: 'pg_hba.conf of the source does not let the replication role in from the target.',
    remedy: 'Add the line that the finding names to pg_hba.conf of the source, then SELECT pg_reload_conf().',
  },
  {
    code: 'role-differs',
    meaning: 'A role exists on both sides with different attributes; the one on the target is left as it is.',
    remedy: 'ALTER ROLE on the target, if the difference is not meant.',
  },
  {
    code: 'md5-password',
    meaning: 'Roles have MD5 passwords, which PostgreSQL 18 deprecates. They are moved and still work.',
    remedy: "Have them set anew with password_encryption = 'scram-sha-256'.",
  },
  {
    code: 'tablespace-missing',
    meaning: 'A tablespace in use does not exist on the target; what is in it goes to pg_default.',
    remedy: 'CREATE TABLESPACE on the target, if it is wanted there.',
  },
  {
    code: 'engine-fails',
    meaning:
      'A scratch database could not be replicated from the source to the target: no real database would be either.',
    remedy: 'Mend the cause that the finding names with its step, then check again.',
  },
  {
    code: 'engine-unproven',
    meaning: 'The engine could not be tried with a scratch database, for a reason that says nothing of real ones.',
    remedy: 'Mend what the finding names, then check again.',
  },
  {
    code: 'canary-left',
    meaning: 'A scratch database cannot be dropped for now and stays, empty.',
    remedy: 'DROP DATABASE once the finding’s reason is gone.',
  },
  // Each database
  {
    code: 'target-database-not-empty',
    meaning: 'A database of this name exists on the target, is not of our making and holds objects.',
    remedy: 'Drop it on the target, or leave the database out with databases.exclude.',
  },
  {
    code: 'target-database-differs',
    meaning: 'An empty database of this name exists on the target with another encoding or locale.',
    remedy: 'Drop it on the target: setup creates it as it is on the source.',
  },
  {
    code: 'locale-missing',
    meaning: "The database's locale does not exist on the target.",
    remedy: "Install the locale on the target's machine, then restart the target.",
  },
  {
    code: 'collation-version',
    meaning: 'Text may sort in another order on the target: order of results, unique keys and text partitions change.',
    remedy: 'Compare the order of values that matter, ranges of text partitions before all.',
  },
  {
    code: 'extension-missing',
    meaning: 'An extension of the database is not available on the target.',
    remedy: "Install its package on the target's machine.",
  },
  {
    code: 'extension-older',
    meaning: 'The target has only an older version of an extension.',
    remedy: "Install a newer package of the extension on the target's machine.",
  },
  {
    code: 'preload-missing',
    meaning:
      'An extension of the database is preloaded on the source (shared_preload_libraries) and not on the target.',
    remedy: 'ALTER SYSTEM SET shared_preload_libraries on the target, then restart it.',
  },
  {
    code: 'extension-config-data',
    meaning: "A table of an extension holds rows of users: it is the extension's, so replication does not carry them.",
    remedy: 'Nothing to do: they are copied inside the outage, unless notReplicated.extensionRows says otherwise.',
  },
  {
    code: 'partition-maintenance',
    meaning: 'pg_partman makes and drops partitions: such changes do not travel.',
    remedy: 'Stop its maintenance for the time of the upgrade, with partitions made in advance.',
  },
  {
    code: 'no-replica-identity',
    meaning: 'A table has no replica identity: UPDATE and DELETE on it fail as soon as it is published.',
    remedy:
      '`pgconvoy fix` chooses one; where it cannot, ask for a key column with fix.tables, add a primary key, or exclude the database.',
  },
  {
    code: 'identity-without-equality',
    meaning:
      'REPLICA IDENTITY FULL on a table with a column type that knows no equality: the target cannot find its rows.',
    remedy:
      'Ask for a key column with fix.tables, or add a primary key, or a unique index on NOT NULL columns; then `pgconvoy fix`.',
  },
  {
    code: 'slow-identity',
    meaning:
      'A large table is identified by the whole row: for each UPDATE and DELETE the target reads the table to find the row.',
    remedy: 'Add a primary key, or a unique index on NOT NULL columns, if the table is often updated.',
  },
  {
    code: 'generated-column',
    meaning: "A table has generated columns: pglogical's worker would crash the whole target server at its first row.",
    remedy: 'Set engine: native, which carries them; or drop the column, or leave the database out.',
  },
  {
    code: 'deferrable-key',
    meaning: 'A unique constraint or primary key is deferrable: pglogical stops at the first row of such a table.',
    remedy: 'Set engine: native; or make the constraint NOT DEFERRABLE on the source.',
  },
  {
    code: 'truncate-with-foreign-keys',
    meaning:
      'pglogical carries a TRUNCATE table by table, which the target refuses where foreign keys lead to the table.',
    remedy: 'Use DELETE instead of TRUNCATE on such tables until the switch.',
  },
  {
    code: 'pglogical-node',
    meaning: 'The database is a pglogical node of somebody else already. It is used as it is and left untouched.',
    remedy: 'Nothing to do; the subscriptions of others stay behind, as slots do.',
  },
  {
    code: 'unlogged-table',
    meaning: 'Replication does not carry the rows of an unlogged table.',
    remedy: 'Nothing to do: they are copied inside the outage, unless notReplicated.unloggedTables says otherwise.',
  },
  {
    code: 'table-with-oids',
    meaning: 'A table WITH OIDS, which PostgreSQL 12 and later do not know.',
    remedy: 'ALTER TABLE … SET WITHOUT OIDS (rewrites the table).',
  },
  {
    code: 'removed-type',
    meaning: 'A column has a type that PostgreSQL 12 and later do not know (abstime, reltime, tinterval).',
    remedy: 'ALTER TABLE … ALTER COLUMN … TYPE timestamptz or interval.',
  },
  {
    code: 'large-objects',
    meaning: 'Replication does not carry large objects.',
    remedy:
      'Nothing to do: they are copied while rows stream, and the latest changes inside the outage, unless notReplicated.largeObjects says otherwise.',
  },
  {
    code: 'materialized-view',
    meaning: 'Replication does not carry the rows of materialized views.',
    remedy:
      'Nothing to do: they are computed inside the outage, unless notReplicated.materializedViews says otherwise.',
  },
  {
    code: 'foreign-server',
    meaning: 'Foreign tables: their definition is carried, their data stays where it is.',
    remedy: 'See that the target reaches the foreign server, and that it does not lead to the old cluster.',
  },
  {
    code: 'always-trigger',
    meaning:
      'A trigger that is ENABLE ALWAYS or REPLICA would fire for replicated rows; it is made only at the switch.',
    remedy: 'Nothing to do, if that is meant.',
  },
  {
    code: 'event-trigger',
    meaning: 'An event trigger would fire while the schema is built on the target; it is made only at the switch.',
    remedy: 'Nothing to do, if that is meant.',
  },
  {
    code: 'function-without-search-path',
    meaning:
      'A function that index, check, generated column or ALWAYS trigger calls depends on the search_path, which is empty in replication.',
    remedy: 'ALTER FUNCTION … SET search_path.',
  },
  {
    code: 'invalid-index',
    meaning: 'An index is invalid (a CREATE INDEX CONCURRENTLY that failed): the target will not have it.',
    remedy: 'REINDEX or DROP INDEX on the source.',
  },
  {
    code: 'not-valid-constraint',
    meaning: 'A constraint is NOT VALID: existing rows may break it. It is carried as it is.',
    remedy: 'ALTER TABLE … VALIDATE CONSTRAINT, if that is meant.',
  },
  {
    code: 'reserved-schema',
    meaning: 'The schema pgconvoy holds objects that are not ours; they would be left out.',
    remedy: 'Rename that schema or move its objects.',
  },
  {
    code: 'setting-unknown',
    meaning: 'A setting of the database or of a role in it does not exist on the target.',
    remedy: 'ALTER DATABASE … RESET or ALTER ROLE … IN DATABASE … RESET on the source.',
  },
  {
    code: 'source-publication',
    meaning: 'The database has publications of others; they are not moved.',
    remedy: 'Make them on the target after the switch, and subscribe anew.',
  },
  // While rows stream
  {
    code: 'schema-drift',
    meaning:
      'Somebody has changed tables, functions or other objects on one side alone since the schema was copied: replication carries rows only.',
    remedy:
      '`pgconvoy resync`, and the lines that the finding names; `pgconvoy ddl` changes both sides. To accept it in one database alone: `schema-drift:NAME`.',
  },
  // Before a cutover
  {
    code: 'fence-ends-transaction',
    meaning:
      'A rehearsal met transactions that have been open for long: a fence would end them, and their work would be lost.',
    remedy: 'Pause what begins them (batch jobs, backups, reports) before the cutover.',
  },
  {
    code: 'fence-refused',
    meaning: 'A rehearsal met what a fence cannot end: a prepared transaction, or a subscription of the source.',
    remedy: 'The lines that the finding names, before the cutover.',
  },
  // In front of the source
  {
    code: 'pgbouncer-away',
    meaning:
      'The admin console of a PgBouncer that shall be switched does not answer, or refuses us; or its file cannot be read.',
    remedy:
      'See that it is up, and host, port, user, password and file in cutover.pgbouncer; the user must be one of its admin_users.',
  },
  {
    code: 'pgbouncer-file',
    meaning: 'The file of a PgBouncer cannot be replaced by the worker, so it could not be led to the target.',
    remedy:
      'Run the worker as the owner of the file, on the machine of that PgBouncer, or switch it by a hook (cutover.hooks).',
  },
  {
    code: 'pgbouncer-database',
    meaning: 'A database has no line of its own in the file of a PgBouncer.',
    remedy:
      'Add the line under [databases], or correct cutover.pgbouncer.databases. Who comes another way is cut off by the fence.',
  },
  {
    code: 'pgbouncer-stale',
    meaning: 'A PgBouncer does not run with what its file says, or reads another file.',
    remedy: 'RELOAD in its console, or name the file it reads.',
  },
  {
    code: 'pgbouncer-elsewhere',
    meaning: 'A database of a PgBouncer that would be switched does not lead to the source.',
    remedy:
      'Name those to be switched in cutover.pgbouncer.databases, or accept it where that address is the source all the same.',
  },
  {
    code: 'pgbouncer-session',
    meaning: 'A PgBouncer pools by session: a pause ends only when its clients leave.',
    remedy: 'Set pool_mode = transaction where applications can live with it, or stop those that hold sessions.',
  },
  {
    code: 'pgbouncer-patience',
    meaning:
      'query_wait_timeout of a PgBouncer is shorter than a cutover may take: clients that wait longer are disconnected.',
    remedy: 'Raise it for the time of the cutover, or shorten deadlines.outage.',
  },
  // The way back
  {
    code: 'way-back-unsupported',
    meaning: 'Rows cannot travel back to a source that is older than 9.5.',
    remedy: 'Set cutover.reverse: false; then a cutover is for good.',
  },
  {
    code: 'not-switched-over',
    meaning: 'A rollback was asked for where applications do not use the new cluster.',
    remedy: '`pgconvoy cancel` takes back a cutover that has not opened the database yet.',
  },
  {
    code: 'no-way-back',
    meaning: 'A rollback was asked for where rows have not been travelling back: it would lose what was written since.',
    remedy: '`pgconvoy retry` of the cutover, where it has not come to its end; else there is no way back.',
  },
  // A comparison
  {
    code: 'rows-differ',
    meaning: 'A table does not hold the same rows on both sides; the finding names those that differ.',
    remedy:
      'Find out who changed the target. pgconvoy resync DATABASE --table TABLE copies the table anew; see docs/comparison.md. To accept it in one database alone: `rows-differ:NAME`.',
  },
  {
    code: 'comparison-unfinished',
    meaning: 'Not all tables could be compared: the time was up, or what was to be compared is not there any more.',
    remedy: 'What the finding says; see docs/comparison.md.',
  },
] as const satisfies readonly { readonly code: string; readonly meaning: string; readonly remedy: string }[];

export type FindingCode = (typeof FINDINGS)[number]['code'];

/** A finding with a registered code: what the judgements return. */
export interface CheckFinding extends Finding {
  readonly code: FindingCode;
}
