import * as z from 'zod';
import { fragment, since, sql } from '../sql.ts';
import type { Sql } from '../sql.ts';

export const ClusterIdentity = z.object({
  /** server_version_num: 100 × minor … 180006 is 18.6; before 10, 90624 is 9.6.24. */
  versionNum: z.coerce.number(),
  /** The same for a server and its physical copies, different for every initdb. */
  systemIdentifier: z.string(),
});

/**
 * The number that initdb gave the cluster. Before 9.6 only the file itself tells it, in its first eight bytes (taken as little
 * endian, as nearly every machine writes them). For superusers.
 * @see https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CONTROLDATA
 */
export const systemIdentifier = since(
  'controlData',
  fragment`(select system_identifier::text from pg_control_system())`,
  fragment`(select sum(get_byte(f.bytes, i) * 256::numeric ^ i)::numeric(20, 0)::text
             from (select pg_read_binary_file('global/pg_control', 0, 8) as bytes) f, generate_series(0, 7) i)`,
);

/** Version and identity of this server. One row. */
export const clusterIdentity = (): Sql =>
  sql`
  select current_setting('server_version_num') as "versionNum", ${systemIdentifier} as "systemIdentifier"`.kept();

export const Session = z.object({
  user: z.string(),
  superuser: z.boolean(),
  replication: z.boolean(),
  createRole: z.boolean(),
  createDatabase: z.boolean(),
  inRecovery: z.boolean(),
  /** The server's own address as this session reached it; null over a unix socket. */
  address: z.string().nullable(),
});
export type Session = z.output<typeof Session>;

/** Who we are on this server, what we may do there, and whether it is a standby. One row. */
export const session = (): Sql => sql`
  select rolname::text as user, rolsuper as superuser, rolreplication as replication, rolcreaterole as "createRole",
         rolcreatedb as "createDatabase", pg_is_in_recovery() as "inRecovery", host(inet_server_addr()) as address
    from pg_roles
   where rolname = current_user`;

export const HostRule = z.object({
  type: z.string(),
  databases: z.array(z.string()),
  users: z.array(z.string()),
  address: z.string().nullable(),
  netmask: z.string().nullable(),
  method: z.string(),
});
export type HostRule = z.output<typeof HostRule>;

/**
 * The rules of pg_hba.conf as it stands on disk, in order; lines with errors are left out. For superusers.
 * @see https://www.postgresql.org/docs/current/view-pg-hba-file-rules.html
 */
export const hostRules = (): Sql => sql`
  select type, database as databases, user_name as users, address, netmask, auth_method as method
    from pg_hba_file_rules
   where error is null`;

export const HbaPath = z.object({ path: z.string() });

/** Where pg_hba.conf is. For superusers. */
export const hbaPath = (): Sql => sql`select current_setting('hba_file') as path`;

export const Tablespace = z.object({ name: z.string(), databases: z.array(z.string()) });
export type Tablespace = z.output<typeof Tablespace>;

/**
 * Tablespaces beside the built-in ones, each with the databases that have something in it.
 * @see https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CATALOG
 */
export const tablespaces = (): Sql => sql`
  select t.spcname::text as name,
         array(select d.datname::text from pg_database d
                where d.oid in (select pg_tablespace_databases(t.oid)) order by 1) as databases
    from pg_tablespace t
   where t.spcname not in ('pg_default', 'pg_global')
   order by 1`;
