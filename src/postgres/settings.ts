import { fragment, id, join, lit } from './sql.ts';
import type { Fragment } from './sql.ts';

/**
 * Settings whose value is a list of names that were quoted one by one when they were set: given back as one literal they
 * would become a single name. The same table as in pg_dump.
 * @see https://www.postgresql.org/docs/current/sql-set.html
 */
const LISTS = new Set([
  'local_preload_libraries',
  'search_path',
  'session_preload_libraries',
  'shared_preload_libraries',
  'temp_tablespaces',
  'unix_socket_directories',
]);

export interface Setting {
  readonly name: string;
  readonly value: string;
}

/** Takes `name=value` of pg_db_role_setting apart. */
export function parseSetting(text: string): Setting {
  const at = text.indexOf('=');
  return { name: text.slice(0, at), value: text.slice(at + 1) };
}

/** `name TO value`, for the SET of ALTER DATABASE and ALTER ROLE. */
export function setClause({ name, value }: Setting): Fragment {
  const values = LISTS.has(name.toLowerCase()) ? listOf(value) : [value];
  return fragment`${id(...name.split('.'))} to ${join((values.length > 0 ? values : ['']).map((each) => lit(each)))}`;
}

/** Two spellings of the same value: majors differ in which names of a list they quote. */
export function sameSetting(one: Setting, other: Setting): boolean {
  if (one.name.toLowerCase() !== other.name.toLowerCase()) return false;
  if (!LISTS.has(one.name.toLowerCase())) return one.value === other.value;
  return JSON.stringify(listOf(one.value)) === JSON.stringify(listOf(other.value));
}

/** Names separated by commas, where a name that is not plain stands in double quotes. */
function listOf(value: string): string[] {
  return [...value.matchAll(/\s*(?:"((?:[^"]|"")*)"|([^\s,"][^,]*?))\s*(?:,|$)/g)].map(([, quoted, plain]) =>
    quoted === undefined ? plain! : quoted.replaceAll('""', '"'),
  );
}
