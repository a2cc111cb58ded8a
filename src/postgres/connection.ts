import pg from 'pg';
import type { ConnectionOptions } from 'node:tls';

/** How to reach a server. The password is here and nowhere else; never log this. */
export interface ServerAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password?: string | undefined;
  readonly ssl: false | ConnectionOptions;
  /** libpq's words for `ssl`, for client programs; with `prefer` a server without TLS is taken too. */
  readonly sslmode?: 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full' | undefined;
  /** A file of certificates to trust, or `system`; for client programs. */
  readonly sslrootcert?: string | undefined;
  /** Milliseconds. */
  readonly connectTimeoutMs: number;
}

/**
 * What every session of ours starts with, whatever ALTER ROLE or ALTER DATABASE say: no inherited timeouts, names always
 * qualified, values printed alike by all majors (comparisons rely on it), and writing allowed behind our own fence.
 * @see https://www.postgresql.org/docs/current/runtime-config-client.html
 */
const SESSION: Readonly<Record<string, string>> = {
  search_path: 'pg_catalog',
  default_transaction_read_only: 'off',
  default_transaction_isolation: 'read\\ committed',
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  row_security: 'off',
  datestyle: 'ISO',
  intervalstyle: 'postgres',
  timezone: 'UTC',
  extra_float_digits: '0',
  bytea_output: 'hex',
  lc_monetary: 'C',
  quote_all_identifiers: 'off',
  standard_conforming_strings: 'on',
};

/** Which of these a server refuses the session for, because it is too old to know it; 42704 is undefined_object. */
export function unknownSetting(error: unknown): string | undefined {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (code !== '42704') return undefined;
  return Object.keys(SESSION).find((name) => String(message).includes(`"${name}"`));
}

/** The server has no TLS, speaks none that we do, or its pg_hba.conf takes this session only without. */
export function refusesTls(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return /^(28000|EPROTO|ERR_SSL)/.test(String(code)) || /does not support SSL/.test(String(message));
}

/** A client that is not connected yet. Its `error` event is always listened to: a lost idle connection must not end the process. */
export function newClient(
  address: ServerAddress,
  database: string,
  applicationName: string,
  without: ReadonlySet<string> = new Set(),
  protocol?: 'replication',
): pg.Client {
  // pg knows `replication`, its types do not.
  const replication = protocol === 'replication' ? { replication: 'database' } : {};
  const client = new pg.Client({ ...replication, ...clientConfig(address, database, applicationName, without) });
  client.on('error', () => {});
  return client;
}

/** @param settings what this session starts with instead */
export function clientConfig(
  address: ServerAddress,
  database: string,
  applicationName: string,
  without: ReadonlySet<string> = new Set(),
  settings: Readonly<Record<string, string>> = {},
): pg.ClientConfig {
  return {
    host: address.host,
    port: address.port,
    user: address.user,
    database,
    // An empty password keeps pg from looking elsewhere: config/ has already resolved environment and .pgpass.
    password: address.password ?? '',
    ssl: address.ssl,
    connectionTimeoutMillis: address.connectTimeoutMs,
    keepAlive: true,
    application_name: applicationName,
    client_encoding: 'UTF8',
    options: Object.entries({ ...SESSION, ...settings })
      .filter(([name]) => !without.has(name))
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(' '),
  };
}
