import { statSync } from 'node:fs';
import { join } from 'node:path';
import { homeOf, readText, variable } from './environment.ts';
import type { Environment } from './environment.ts';

export interface PasswordQuery {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
}

/**
 * The password that ~/.pgpass (or PGPASSFILE) has for a server, as libpq finds it.
 * @see https://www.postgresql.org/docs/current/libpq-pgpass.html
 */
export function passwordFromPgpass(
  query: PasswordQuery,
  env: Environment,
): { readonly password?: string; readonly warning?: string } {
  const file = variable(env, 'PGPASSFILE') ?? join(homeOf(env), '.pgpass');
  const read = readText(file);
  if ('failure' in read) return {};
  if (openToOthers(file)) {
    return { warning: `${file} is ignored: others may read it (chmod 0600 "${file}")` };
  }
  const password = findInPgpass(read.text, query);
  return password === undefined ? {} : { password };
}

/** The first line that fits. Pure. */
export function findInPgpass(text: string, query: PasswordQuery): string | undefined {
  const socket = query.host.startsWith('/');
  // libpq looks up a server behind the default socket folder as localhost.
  const hosts =
    socket && ['/tmp', '/run/postgresql', '/var/run/postgresql'].includes(query.host)
      ? [query.host, 'localhost']
      : [query.host];
  const wanted = [hosts, [String(query.port)], [query.database], [query.user]];
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('#')) continue;
    const fields = splitFields(line);
    if (fields.length < 5) continue;
    const fits = wanted.every(
      (values, index) => fields[index] === WILDCARD || values.includes(unescaped(fields[index]!)),
    );
    if (fits) return unescaped(fields[4]!);
  }
  return undefined;
}

/** A lone `*` fits anything; `\*` would be a star. */
const WILDCARD = '*';

/** Five fields between colons; the last one ends with the line or the next colon, as in libpq. */
const splitFields = (line: string): string[] =>
  [...line.matchAll(/(?:^|:)((?:[^:\\]|\\.)*)/g)].map(([, field]) => field ?? '');

const unescaped = (field: string): string => field.replaceAll(/\\(.)/g, '$1');

/** Whether group or others have any right on a file. */
export function openToOthers(file: string): boolean {
  return (statSync(file).mode & 0o077) !== 0;
}

/** The first line of a password file, without its end. */
export const firstLine = (text: string): string => text.split(/\r?\n/, 1)[0] ?? '';
