import * as z from 'zod';
import { sql } from '../sql.ts';
import type { Sql } from '../sql.ts';
import { systemIdentifier } from './server.ts';
import { NOT_USERS_EXTENSIONS } from './schemas.ts';

export const ListedDatabase = z.object({
  oid: z.coerce.number(),
  name: z.string(),
  /** pg_database.datallowconn. */
  connectable: z.boolean(),
  /** What an interrupted DROP DATABASE leaves. */
  invalid: z.boolean(),
});
export type ListedDatabase = z.output<typeof ListedDatabase>;

/**
 * Every database of the cluster, by name.
 * @see https://www.postgresql.org/docs/current/catalog-pg-database.html
 */
export const listedDatabases = (): Sql => sql`
  select oid::text, datname as name, datallowconn as connectable, datconnlimit = -2 as invalid
    from pg_database
   order by datname`;

export const HoldsUserObjects = z.object({ found: z.boolean() });

/**
 * Whether a database that initdb made holds anything of users: what was created later has an oid of 16384 or more. Our own schema
 * `pgconvoy` is not counted.
 * @see https://www.postgresql.org/docs/current/system-catalog-initial-data.html#SYSTEM-CATALOG-OID-ASSIGNMENT
 */
export const holdsUserObjects = (): Sql => sql`
  with ours as (select oid from pg_namespace where nspname in ('pgconvoy', 'pglogical', 'pglogical_origin') or nspname like 'pg\\_toast%' or nspname like 'pg\\_temp%')
  select exists (select from pg_namespace where oid >= 16384 and oid not in (select oid from ours))
      or exists (select from pg_class where oid >= 16384 and relnamespace not in (select oid from ours))
      or exists (select from pg_proc where oid >= 16384 and pronamespace not in (select oid from ours))
      or exists (select from pg_type where oid >= 16384 and typnamespace not in (select oid from ours))
      or exists (select from pg_operator where oid >= 16384 and oprnamespace not in (select oid from ours))
      or exists (select from pg_extension where oid >= 16384 and extname not in (${NOT_USERS_EXTENSIONS}))
      or exists (select from pg_event_trigger where oid >= 16384)
      or exists (select from pg_foreign_data_wrapper where oid >= 16384)
      or exists (select from pg_largeobject_metadata) as found`;

export const ServerState = z.object({
  versionNum: z.coerce.number(),
  version: z.string(),
  systemIdentifier: z.string(),
  /** Tells a cluster from its physical copies, which have the same identifier. */
  startedAt: z.string(),
  inRecovery: z.boolean(),
});
export type ServerState = z.output<typeof ServerState>;

/**
 * What this server is. One row.
 * @see https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CONTROLDATA
 */
export const serverState = (): Sql => sql`
  select current_setting('server_version_num') as "versionNum", current_setting('server_version') as version,
         ${systemIdentifier} as "systemIdentifier", pg_postmaster_start_time()::text as "startedAt",
         pg_is_in_recovery() as "inRecovery"`;
