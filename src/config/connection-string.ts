import { SslMode } from './schema.ts';

/** What a connection string names; the rest is left to the environment. */
export interface ConnectionParts {
  readonly host?: string;
  readonly port?: number;
  readonly user?: string;
  readonly password?: string;
  readonly database?: string;
  readonly sslmode?: SslMode;
  readonly sslrootcert?: string;
  /** Like `10s`. */
  readonly connectTimeout?: string;
}

/** Why a connection string was not understood. Its text is never in here: it may hold a password. */
export class ConnectionStringError extends Error {}

const fail = (message: string): never => {
  throw new ConnectionStringError(message);
};

/** libpq's names of what we take. */
const PARAMETERS: Readonly<Record<string, (value: string) => ConnectionParts>> = {
  host: (host) => (host.includes(',') ? fail('it names several hosts; give the one of the primary') : { host }),
  port: (text) => ({ port: portOf(text) }),
  user: (user) => ({ user }),
  password: (password) => ({ password }),
  dbname: (database) => ({ database }),
  sslmode: (mode) => ({ sslmode: sslModeOf(mode) }),
  sslrootcert: (sslrootcert) => ({ sslrootcert }),
  connect_timeout: (seconds) => ({ connectTimeout: timeoutOf(seconds) }),
  // Ours says who works; whatever stands here is replaced.
  application_name: () => ({}),
};

/**
 * `postgres://user:password@host:port/dbname?sslmode=require` or `host=… port=… user=…`, as libpq reads them.
 * @see https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
 * @throws ConnectionStringError
 */
export function parseConnectionString(text: string): ConnectionParts {
  if (/^postgres(ql)?:\/\//.test(text)) return parseUrl(text);
  if (/^[a-z]+:\/\//i.test(text)) return fail('it does not begin with postgres:// or postgresql://');
  return parseKeywords(text);
}

function parseUrl(text: string): ConnectionParts {
  if (/^postgres(ql)?:\/\/[^/?]*@?[^/?@]*,/.test(text.replace(/\/\/[^@/]*@/, '//'))) {
    return fail('it names several hosts; give the one of the primary');
  }
  if (!URL.canParse(text)) {
    return fail(
      'it is not a URL: see the port, and write the characters : / ? # @ % of a password as %3A %2F %3F %23 %40 %25',
    );
  }
  const url = new URL(text);
  let parts: ConnectionParts = {};
  const add = (name: string, value: string) => {
    if (value !== '') parts = { ...parts, ...parameter(name, decoded(name, value)) };
  };
  add('host', url.hostname.replace(/^\[(.*)\]$/, '$1'));
  add('port', url.port);
  add('user', url.username);
  add('password', url.password);
  add('dbname', url.pathname.slice(1));
  for (const pair of url.search.slice(1).split('&').filter(Boolean)) {
    const [name = '', value = ''] = pair.split(/=(.*)/s);
    add(name, value);
  }
  return parts;
}

function decoded(name: string, value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return fail(`its ${name} has a % that is not followed by two hexadecimal digits; a percent sign is written %25`);
  }
}

/** Values with spaces stand in single quotes; a backslash takes the next character as it is. */
function parseKeywords(text: string): ConnectionParts {
  let parts: ConnectionParts = {};
  const pattern = /\s*([^\s=]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*)?)(?=\s|$)/gsy;
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    const [whole, name = '', quoted, plain] = match;
    const value = (quoted ?? plain ?? '').replaceAll(/\\(.)/gs, '$1');
    if (value !== '') parts = { ...parts, ...parameter(name, value) };
    end = match.index + whole.length;
  }
  if (text.slice(end).trim() !== '') {
    fail(
      'it is neither a URL like postgres://user@host:5432/postgres nor a list like host=… port=… user=… (values with spaces in single quotes)',
    );
  }
  return parts;
}

function parameter(name: string, value: string): ConnectionParts {
  const known = PARAMETERS[name];
  return known
    ? known(value)
    : fail(`it has a parameter that is not known here, "${name}"; known are ${Object.keys(PARAMETERS).join(', ')}`);
}

export function portOf(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : fail('its port is not a number from 1 to 65535');
}

/** libpq's `allow` (plain first, TLS where the server insists) is served as `prefer`: the same servers, better protected. */
export function sslModeOf(text: string): SslMode {
  const parsed = SslMode.safeParse(text === 'allow' ? 'prefer' : text);
  return parsed.success ? parsed.data : fail(`its sslmode is none of ${SslMode.options.join(', ')}`);
}

/** libpq counts in seconds; 0 means to wait for ever, which we cap at an hour. */
export function timeoutOf(text: string): string {
  if (!/^\d{1,7}$/.test(text)) fail('its connect_timeout is not a number of seconds');
  return Number(text) === 0 ? '1h' : `${Number(text)}s`;
}
