import type { Finding } from '../../engine/finding.ts';

/**
 * Every code a check can produce, for the documentation and for `accept:` in the configuration. The finding itself carries
 * the values found and the exact lines to type; this is what the code means in general.
 */
export const FINDINGS = [
  // Both clusters
  {
    code: 'cannot-look',
    severity: 'block',
    meaning: 'One of the checks could not look, usually for want of a privilege.',
    remedy: 'Mend the cause that the finding names, then check again.',
  },
  {
    code: 'server-unreachable',
    severity: 'block',
    meaning: 'A server cannot be reached, or refuses us. What concerns the other one is checked all the same.',
    remedy: 'See that it is up, and that host, port, user, password and sslmode in the configuration are right.',
  },
  {
    code: 'temporary-folder',
    severity: 'block',
    meaning: 'The folder for temporary files, where dumps of schemas are put, is not there or not writable.',
    remedy: 'Make it writable for the user that the worker runs as, or start the worker with another TMPDIR.',
  },
  {
    code: 'version-unsupported',
    severity: 'either',
    meaning: 'The major version is older than what the engine can do, or newer than what was tried.',
    remedy: 'Use a source of PostgreSQL 10 to 18 (9.4 with engine: pglogical) and a target of 10 to 18.',
  },
  {
    code: 'target-older',
    severity: 'block',
    meaning: 'The target has an older major version than the source.',
    remedy: 'Set `target` to a server of the same or a newer major version; where the two are swapped, swap them.',
  },
  {
    code: 'same-cluster',
    severity: 'block',
    meaning: 'Source and target are the same cluster, or one is a physical copy of the other.',
    remedy: 'Make a new, empty cluster of the newer major (`initdb`) and set `target.host` and `target.port` to it.',
  },
  {
    code: 'standby',
    severity: 'block',
    meaning: 'The server is a standby: nothing can be changed on it.',
    remedy: 'Set host and port of that side to the primary.',
  },
  {
    code: 'not-superuser',
    severity: 'block',
    meaning: 'The configured user is not a superuser.',
    remedy: '`ALTER ROLE name SUPERUSER;` on that server, or another `user` in the configuration.',
  },
  {
    code: 'client-tools',
    severity: 'either',
    meaning: 'pg_dump and pg_restore are missing, or of a major version that does not fit both servers.',
    remedy:
      "Install the client programs of the target's major version (Debian: `apt-get install postgresql-client-18`; Red Hat: `dnf install postgresql18`), or name their folder: `tools: { bin: /path }`.",
  },
  {
    code: 'connections',
    severity: 'block',
    meaning: 'Fewer connections are free than pgconvoy needs.',
    remedy:
      '`ALTER SYSTEM SET max_connections = …;` then restart that server. Or lower `budgets` in the configuration.',
  },
  {
    code: 'pglogical-missing',
    severity: 'block',
    meaning: 'The extension pglogical is not available on a server, and the engine is pglogical.',
    remedy:
      'Install its package on the machine of that server (Debian: `apt-get install postgresql-15-pglogical`, with its major), or set `engine: native`.',
  },
  {
    code: 'pglogical-not-preloaded',
    severity: 'block',
    meaning: 'shared_preload_libraries of a server does not name pglogical, and the engine is pglogical.',
    remedy:
      "`ALTER SYSTEM SET shared_preload_libraries = 'pglogical';` with whatever else stands there, then restart that server.",
  },
  // The source
  {
    code: 'wal-level',
    severity: 'block',
    meaning: 'wal_level is not logical: the source writes no WAL that can be decoded into rows.',
    remedy:
      "`ALTER SYSTEM SET wal_level = 'logical';` on the source, then restart it. For the way back the same on the target, or `cutover: { reverse: false }`.",
  },
  {
    code: 'replication-slots',
    severity: 'block',
    meaning: 'The source has too few replication slots for all databases and table copies.',
    remedy:
      '`ALTER SYSTEM SET max_replication_slots = …;` on the source, then restart it. Or take fewer databases at a time (`databases.include`).',
  },
  {
    code: 'wal-senders',
    severity: 'block',
    meaning: 'The source has too few WAL senders for all databases and table copies.',
    remedy:
      '`ALTER SYSTEM SET max_wal_senders = …;` on the source, then restart it. Or take fewer databases at a time (`databases.include`).',
  },
  {
    code: 'output-plugin',
    severity: 'block',
    meaning:
      'output_plugin_libraries of the source does not list the library of the engine (pgoutput, pglogical_output), so no slot can be made.',
    remedy:
      "`ALTER SYSTEM SET output_plugin_libraries = '…, pgoutput';` with what stands there already, then `SELECT pg_reload_conf();`.",
  },
  {
    code: 'slot-wal-limit',
    severity: 'warning',
    meaning: 'max_slot_wal_keep_size of the source is limited: a slot that falls further behind is lost.',
    remedy:
      'For the time of the upgrade: `ALTER SYSTEM SET max_slot_wal_keep_size = -1;` and `SELECT pg_reload_conf();`. Then watch the disk of the source instead.',
  },
  {
    code: 'slot-idle-timeout',
    severity: 'warning',
    meaning: 'idle_replication_slot_timeout of the source is set: a slot that nobody reads for so long is lost.',
    remedy:
      'For the time of the upgrade: `ALTER SYSTEM SET idle_replication_slot_timeout = 0;` and `SELECT pg_reload_conf();`.',
  },
  {
    code: 'prepared-transaction',
    severity: 'block',
    meaning: 'A prepared transaction holds up the creation of slots, and is not carried to the target.',
    remedy:
      "In its database, as whoever prepared it would decide: `COMMIT PREPARED 'name';` or `ROLLBACK PREPARED 'name';`.",
  },
  {
    code: 'long-transaction',
    severity: 'warning',
    meaning: 'A write transaction has been open for more than a minute: slots are not made before it ends.',
    remedy: 'Let it end, or: `SELECT pg_terminate_backend(pid);` on the source.',
  },
  {
    code: 'source-subscription',
    severity: 'warning',
    meaning: 'The source itself subscribes to another server; subscriptions are not moved.',
    remedy:
      'After the switch: `CREATE SUBSCRIPTION … WITH (copy_data = false)` on the target, `DROP SUBSCRIPTION …` on the source.',
  },
  {
    code: 'foreign-slot',
    severity: 'warning',
    meaning: 'A replication slot of somebody else: its consumer keeps following the old cluster.',
    remedy:
      'Plan how its consumer moves to the target: slots are not moved. After the switch make a new slot there (`pg_create_logical_replication_slot`), and drop the old one.',
  },
  {
    code: 'database-refuses-connections',
    severity: 'warning',
    meaning: 'A database accepts no connections, so it is not moved.',
    remedy:
      'To move it: `ALTER DATABASE name ALLOW_CONNECTIONS true;` on the source. Else leave it behind, or drop it.',
  },
  // The target, and the way from it to the source
  {
    code: 'replication-workers',
    severity: 'block',
    meaning: 'max_logical_replication_workers of the target is too low for all databases and table copies.',
    remedy:
      '`ALTER SYSTEM SET max_logical_replication_workers = …;` on the target, then restart it. Or fewer databases at a time, or a lower `budgets.copies`.',
  },
  {
    code: 'worker-processes',
    severity: 'block',
    meaning: 'max_worker_processes of the target is too low for its replication workers.',
    remedy: '`ALTER SYSTEM SET max_worker_processes = …;` on the target, then restart it.',
  },
  {
    code: 'sync-workers',
    severity: 'warning',
    meaning: 'max_sync_workers_per_subscription of the target is lower than budgets.tableWorkers.',
    remedy: '`ALTER SYSTEM SET max_sync_workers_per_subscription = …;` and `SELECT pg_reload_conf();` on the target.',
  },
  {
    code: 'replication-origins',
    severity: 'block',
    meaning:
      'The target can follow too few replication origins (max_active_replication_origins from 18 on, max_replication_slots before).',
    remedy:
      '`ALTER SYSTEM SET max_active_replication_origins = …;` (before 18: `max_replication_slots`) on the target, then restart it.',
  },
  {
    code: 'source-unreachable',
    severity: 'block',
    meaning: 'The target server cannot reach the source.',
    remedy:
      '`source: { fromTarget: { host: …, port: … } }`: the address by which the target reaches the source. See `listen_addresses` of the source, and firewalls.',
  },
  {
    code: 'pg-hba',
    severity: 'either',
    meaning: 'pg_hba.conf of the source does not let the replication role in from the target.',
    remedy:
      'Add the line that the finding names to pg_hba.conf of that server, above lines that fit the same; then `SELECT pg_reload_conf();`.',
  },
  {
    code: 'role-differs',
    severity: 'warning',
    meaning: 'A role exists on both sides with different attributes; the one on the target is left as it is.',
    remedy: 'If the difference is not meant: `ALTER ROLE name …;` on the target.',
  },
  {
    code: 'md5-password',
    severity: 'warning',
    meaning: 'Roles have MD5 passwords, which PostgreSQL 18 deprecates. They are moved and still work.',
    remedy: "Nothing now. Later: `SET password_encryption = 'scram-sha-256';` and `ALTER ROLE name PASSWORD '…';`.",
  },
  {
    code: 'tablespace-missing',
    severity: 'warning',
    meaning: 'A tablespace in use does not exist on the target; what is in it goes to pg_default.',
    remedy: "If it is wanted there: `CREATE TABLESPACE name LOCATION '…';` on the target, before `pgconvoy setup`.",
  },
  {
    code: 'engine-fails',
    severity: 'block',
    meaning:
      'A scratch database could not be replicated from the source to the target: no real database would be either.',
    remedy: 'Mend the cause that the finding names with its step, then check again.',
  },
  {
    code: 'engine-unproven',
    severity: 'either',
    meaning: 'The engine could not be tried with a scratch database, for a reason that says nothing of real ones.',
    remedy: 'Mend what the finding names, then check again.',
  },
  {
    code: 'canary-left',
    severity: 'warning',
    meaning: 'A scratch database cannot be dropped for now and stays, empty.',
    remedy: '`DROP DATABASE name;` once the reason that the finding names is gone. It is empty and does no harm.',
  },
  // Each database
  {
    code: 'target-database-not-empty',
    severity: 'block',
    meaning: 'A database of this name exists on the target, is not of our making and holds objects.',
    remedy:
      'If nobody needs it: `DROP DATABASE name;` on the target. Else leave the database out: `databases: { exclude: [name] }`.',
  },
  {
    code: 'target-database-differs',
    severity: 'block',
    meaning: 'An empty database of this name exists on the target with another encoding or locale.',
    remedy: '`DROP DATABASE name;` on the target: setup makes it as it is on the source.',
  },
  {
    code: 'locale-missing',
    severity: 'block',
    meaning: "The database's locale does not exist on the target.",
    remedy:
      "Install the locale on the target's machine (Debian: a line in /etc/locale.gen, then `locale-gen`), then restart the target.",
  },
  {
    code: 'collation-version',
    severity: 'warning',
    meaning: 'Text may sort in another order on the target: order of results, unique keys and text partitions change.',
    remedy:
      'Nothing for indexes: they are built anew. Compare the order of values where it matters: ranges of text partitions, CHECK and exclusion constraints on text, results of ORDER BY.',
  },
  {
    code: 'extension-missing',
    severity: 'block',
    meaning: 'An extension of the database is not available on the target.',
    remedy:
      "Install its package for the target's major on the target's machine; or `DROP EXTENSION name;` on the source, if nobody needs it.",
  },
  {
    code: 'extension-older',
    severity: 'block',
    meaning: 'The target has only an older version of an extension.',
    remedy: "Install a package of the extension with that version or a newer one on the target's machine.",
  },
  {
    code: 'preload-missing',
    severity: 'block',
    meaning:
      'An extension of the database is preloaded on the source (shared_preload_libraries) and not on the target.',
    remedy: "`ALTER SYSTEM SET shared_preload_libraries = '…';` on the target, then restart it.",
  },
  {
    code: 'extension-config-data',
    severity: 'either',
    meaning: "A table of an extension holds rows of users: it is the extension's, so replication does not carry them.",
    remedy: 'Nothing to do: they are copied inside the outage, unless notReplicated.extensionRows says otherwise.',
  },
  {
    code: 'partition-maintenance',
    severity: 'warning',
    meaning: 'pg_partman makes and drops partitions: such changes do not travel.',
    remedy: 'Make partitions in advance (`premake`), then stop its background worker or cron job until the switch.',
  },
  {
    code: 'no-replica-identity',
    severity: 'block',
    meaning: 'A table has no replica identity: UPDATE and DELETE on it fail as soon as it is published.',
    remedy:
      '`pgconvoy fix` chooses one; where it cannot, ask for a key column with fix.tables, add a primary key, or exclude the database.',
  },
  {
    code: 'identity-without-equality',
    severity: 'block',
    meaning:
      'REPLICA IDENTITY FULL on a table with a column type that knows no equality: the target cannot find its rows.',
    remedy:
      'Ask for a key column with fix.tables, or add a primary key, or a unique index on NOT NULL columns; then `pgconvoy fix`.',
  },
  {
    code: 'slow-identity',
    severity: 'warning',
    meaning:
      'A large table is identified by the whole row: for each UPDATE and DELETE the target reads the table to find the row.',
    remedy:
      'If the table is often updated: `ALTER TABLE name ADD PRIMARY KEY (…);`, or a key column by `fix.tables` and `pgconvoy fix`.',
  },
  {
    code: 'generated-column',
    severity: 'block',
    meaning: "A table has generated columns: pglogical's worker would crash the whole target server at its first row.",
    remedy: 'Set engine: native, which carries them; or drop the column, or leave the database out.',
  },
  {
    code: 'deferrable-key',
    severity: 'block',
    meaning: 'A unique constraint or primary key is deferrable: pglogical stops at the first row of such a table.',
    remedy: '`engine: native`; or on the source: `ALTER TABLE name DROP CONSTRAINT key, ADD …;` without DEFERRABLE.',
  },
  {
    code: 'truncate-with-foreign-keys',
    severity: 'warning',
    meaning:
      'pglogical carries a TRUNCATE table by table, which the target refuses where foreign keys lead to the table.',
    remedy: 'Use DELETE instead of TRUNCATE on such tables until the switch.',
  },
  {
    code: 'pglogical-node',
    severity: 'warning',
    meaning: 'The database is a pglogical node of somebody else already. It is used as it is and left untouched.',
    remedy: 'Nothing to do; the subscriptions of others stay behind, as slots do.',
  },
  {
    code: 'unlogged-table',
    severity: 'either',
    meaning: 'Replication does not carry the rows of an unlogged table.',
    remedy: 'Nothing to do: they are copied inside the outage, unless notReplicated.unloggedTables says otherwise.',
  },
  {
    code: 'table-with-oids',
    severity: 'block',
    meaning: 'A table WITH OIDS, which PostgreSQL 12 and later do not know.',
    remedy: '`ALTER TABLE name SET WITHOUT OIDS;` on the source. It rewrites the table under an exclusive lock.',
  },
  {
    code: 'removed-type',
    severity: 'block',
    meaning: 'A column has a type that PostgreSQL 12 and later do not know (abstime, reltime, tinterval).',
    remedy:
      '`ALTER TABLE name ALTER COLUMN column TYPE timestamptz;` (or `interval`) on the source. It rewrites the table under an exclusive lock.',
  },
  {
    code: 'large-objects',
    severity: 'either',
    meaning: 'Replication does not carry large objects.',
    remedy:
      'Nothing to do: they are copied while rows stream, and the latest changes inside the outage, unless notReplicated.largeObjects says otherwise.',
  },
  {
    code: 'materialized-view',
    severity: 'either',
    meaning: 'Replication does not carry the rows of materialized views.',
    remedy:
      'Nothing to do: they are computed inside the outage, unless notReplicated.materializedViews says otherwise.',
  },
  {
    code: 'foreign-server',
    severity: 'warning',
    meaning: 'Foreign tables: their definition is carried, their data stays where it is.',
    remedy: 'See that the target reaches the foreign server, and that it does not lead to the old cluster.',
  },
  {
    code: 'always-trigger',
    severity: 'warning',
    meaning:
      'A trigger that is ENABLE ALWAYS or REPLICA would fire for replicated rows; it is made only at the switch.',
    remedy: 'Nothing, if that is meant. Else on the source: `ALTER TABLE name ENABLE TRIGGER trigger;`.',
  },
  {
    code: 'event-trigger',
    severity: 'warning',
    meaning: 'An event trigger would fire while the schema is built on the target; it is made only at the switch.',
    remedy:
      'Nothing on the target. If it forbids ALTER TABLE or CREATE PUBLICATION on the source: `ALTER EVENT TRIGGER name DISABLE;` for the time of the upgrade.',
  },
  {
    code: 'function-without-search-path',
    severity: 'warning',
    meaning:
      'A function that index, check, generated column or ALWAYS trigger calls depends on the search_path, which is empty in replication.',
    remedy:
      'If its body has names without a schema: `ALTER FUNCTION name(…) SET search_path = schema, pg_temp;` on the source.',
  },
  {
    code: 'invalid-index',
    severity: 'warning',
    meaning: 'An index is invalid (a CREATE INDEX CONCURRENTLY that failed): the target will not have it.',
    remedy: 'On the source: `REINDEX INDEX name;`, or `DROP INDEX name;`.',
  },
  {
    code: 'not-valid-constraint',
    severity: 'warning',
    meaning: 'A constraint is NOT VALID: existing rows may break it. It is carried as it is.',
    remedy: 'If it is meant to hold: `ALTER TABLE name VALIDATE CONSTRAINT constraint;` on the source.',
  },
  {
    code: 'reserved-schema',
    severity: 'block',
    meaning: 'The schema pgconvoy holds objects that are not ours; they would be left out.',
    remedy: 'On the source: `ALTER SCHEMA pgconvoy RENAME TO …;`, or `ALTER … SET SCHEMA …;` for each object.',
  },
  {
    code: 'setting-unknown',
    severity: 'warning',
    meaning: 'A setting of the database or of a role in it does not exist on the target.',
    remedy:
      'If nobody needs it, on the source: `ALTER DATABASE name RESET setting;` or `ALTER ROLE name IN DATABASE name RESET setting;`.',
  },
  {
    code: 'source-publication',
    severity: 'warning',
    meaning: 'The database has publications of others; they are not moved.',
    remedy:
      'After the switch: `CREATE PUBLICATION …` on the target, and `ALTER SUBSCRIPTION … CONNECTION …` (or anew with `copy_data = false`) where its subscribers are.',
  },
  // While rows stream
  {
    code: 'schema-drift',
    severity: 'either',
    meaning:
      'Somebody has changed tables, functions or other objects on one side alone since the schema was copied: replication carries rows only.',
    remedy:
      '`pgconvoy resync`, and the lines that the finding names; `pgconvoy ddl` changes both sides. To accept it in one database alone: `schema-drift:NAME`.',
  },
  // Before a cutover
  {
    code: 'reader-writes',
    severity: 'warning',
    meaning:
      'A role of `cutover.readers` could write, so it cannot stay connected behind a fence: the cutover refuses to begin.',
    remedy:
      'In that database of the source, revoke what the finding names (up to PostgreSQL 14 `REVOKE CREATE ON SCHEMA public FROM PUBLIC;`), or leave the role out of `cutover.readers`.',
  },
  {
    code: 'fence-ends-transaction',
    severity: 'warning',
    meaning:
      'A rehearsal met transactions that have been open for long: a fence would end them, and their work would be lost.',
    remedy: 'Pause what begins them (batch jobs, backups, reports) before the cutover.',
  },
  {
    code: 'fence-refused',
    severity: 'warning',
    meaning: 'A rehearsal met what a fence cannot end: a prepared transaction, or a subscription of the source.',
    remedy:
      "Before the cutover, in that database of the source: `COMMIT PREPARED 'name';` or `ROLLBACK PREPARED 'name';`; for a subscription `ALTER SUBSCRIPTION name DISABLE;`.",
  },
  // In front of the source
  {
    code: 'pgbouncer-away',
    severity: 'block',
    meaning:
      'The admin console of a PgBouncer that shall be switched does not answer, or refuses us; or its file cannot be read.',
    remedy:
      'See that it is up, and host, port, user, password and file in cutover.pgbouncer; the user must be one of its admin_users.',
  },
  {
    code: 'pgbouncer-file',
    severity: 'block',
    meaning: 'The file of a PgBouncer cannot be replaced by the worker, so it could not be led to the target.',
    remedy:
      'Run the worker as the owner of the file, on the machine of that PgBouncer, or switch it by a hook (cutover.hooks).',
  },
  {
    code: 'pgbouncer-database',
    severity: 'either',
    meaning: 'A database has no line of its own in the file of a PgBouncer.',
    remedy:
      'Add the line under [databases], or correct cutover.pgbouncer.databases. Who comes another way is cut off by the fence.',
  },
  {
    code: 'pgbouncer-stale',
    severity: 'block',
    meaning: 'A PgBouncer does not run with what its file says, or reads another file.',
    remedy: '`RELOAD` in its console; or name the file it reads (`SHOW CONFIG`, conffile) in `cutover.pgbouncer`.',
  },
  {
    code: 'pgbouncer-elsewhere',
    severity: 'block',
    meaning: 'A database of a PgBouncer that would be switched does not lead to the source.',
    remedy:
      'Name those to be switched in cutover.pgbouncer.databases, or accept it where that address is the source all the same.',
  },
  {
    code: 'pgbouncer-session',
    severity: 'warning',
    meaning: 'A PgBouncer pools by session: a pause ends only when its clients leave.',
    remedy: 'Set pool_mode = transaction where applications can live with it, or stop those that hold sessions.',
  },
  {
    code: 'pgbouncer-patience',
    severity: 'warning',
    meaning:
      'query_wait_timeout of a PgBouncer is shorter than a cutover may take: clients that wait longer are disconnected.',
    remedy: '`SET query_wait_timeout = …;` in its console for the time of the cutover, or shorten `deadlines.outage`.',
  },
  // The way back
  {
    code: 'way-back-unsupported',
    severity: 'block',
    meaning: 'Rows cannot travel back to a source that is older than 9.5.',
    remedy: 'Set cutover.reverse: false; then a cutover is for good.',
  },
  {
    code: 'way-back-truncate',
    severity: 'warning',
    meaning: 'TRUNCATE does not travel back to a source that is older than 11.',
    remedy: 'Let applications use DELETE as long as you may want to go back.',
  },
  {
    code: 'not-switched-over',
    severity: 'block',
    meaning: 'A rollback was asked for where applications do not use the new cluster.',
    remedy: '`pgconvoy cancel` takes back a cutover that has not opened the database yet.',
  },
  {
    code: 'no-way-back',
    severity: 'block',
    meaning: 'A rollback was asked for where rows have not been travelling back: it would lose what was written since.',
    remedy: '`pgconvoy retry` of the cutover, where it has not come to its end; else there is no way back.',
  },
  // A comparison
  {
    code: 'rows-differ',
    severity: 'block',
    meaning: 'A table does not hold the same rows on both sides; the finding names those that differ.',
    remedy:
      'Find out who changed the target. pgconvoy resync DATABASE --table TABLE copies the table anew; see docs/comparison.md. To accept it in one database alone: `rows-differ:NAME`.',
  },
  {
    code: 'comparison-unfinished',
    severity: 'either',
    meaning: 'Not all tables could be compared: the time was up, or what was to be compared is not there any more.',
    remedy:
      '`pgconvoy compare` once more in a quieter time, with `--tables` for those that are left; or raise `comparison.budget` and `deadlines.outage`. See docs/comparison.md.',
  },
] as const satisfies readonly {
  readonly code: string;
  /** As the finding is found; `either`: it depends. What is accepted only warns. */
  readonly severity: Finding['severity'] | 'either';
  readonly meaning: string;
  readonly remedy: string;
}[];

export type FindingCode = (typeof FINDINGS)[number]['code'];

/** A finding with a registered code: what the judgements return. */
export interface CheckFinding extends Finding {
  readonly code: FindingCode;
}
