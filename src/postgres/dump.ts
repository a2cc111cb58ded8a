import { sql } from './sql.ts';

/** One object of a dump: what pg_restore prints for one entry of its table of contents. */
export interface DumpEntry {
  /** The number by which other entries name it. */
  readonly id: number;
  /** The object on the source: its catalog (1259 is pg_class) and OID; 0 for what is none. */
  readonly classOid: number;
  readonly oid: number;
  /** Entries that come before this one, as far as the dump has them. */
  readonly dependencies: readonly number[];
  /** In the words of pg_dump: TABLE, CONSTRAINT, FK CONSTRAINT, INDEX ATTACH, … */
  readonly type: string;
  /** As pg_dump prints it: `table constraint` for constraints, `TABLE name` for a comment. */
  readonly name: string;
  /** Null: in no schema. */
  readonly schema: string | null;
  /** `default_tablespace` and `default_table_access_method` that this entry is to be made under. */
  readonly settings: Readonly<Record<string, string>>;
  readonly sql: string;
}

const HEADER = new RegExp(
  [
    '^--',
    String.raw`-- TOC entry (\d+) \(class (\d+) OID (\d+)\)`,
    String.raw`(?:-- Dependencies: ([\d ]+)\n)?-- (?:Data for )?Name: (.*); Type: ([A-Z0-9 ]+); Schema: (.*); Owner: .*`,
    '(?:-- Data Pos: .*\n)?--$',
  ].join('\n'),
  'gm',
);
/** What pg_restore prints before an entry, so after the one before it. */
const SETTINGS = /(?:^SET default_(?:tablespace|table_access_method|with_oids) = .*;\n\s*)+$/m;
/** The end of the text: psql's own commands and the time of the dump, which would make the same schema look different each time. */
const END = /\n(?:-- Completed on .*\n+)?--\n-- PostgreSQL database dump complete\n--\n[^]*$/;

/** What a dump expects of the session it is restored in. Everything in it is qualified. */
export const DUMP_SESSION = sql`
  set search_path = ''; set check_function_bodies = off; set xmloption = content; set client_min_messages = warning;
  set row_security = off; set standard_conforming_strings = on; set statement_timeout = 0; set lock_timeout = 0;
  set idle_in_transaction_session_timeout = 0`;

/**
 * Takes apart what `pg_restore --verbose` prints for a section: its entries in their order. What comes before the first one (SET
 * statements, psql's commands) is left out; DUMP_SESSION says the same.
 * @see https://www.postgresql.org/docs/current/app-pgrestore.html
 */
export function parseDump(text: string): DumpEntry[] {
  const headers = [...text.matchAll(HEADER)];
  const settings = settingsOf(text.slice(0, headers[0]?.index ?? 0));
  return headers.map((header, index) => {
    const body = text.slice(header.index + header[0].length, headers[index + 1]?.index ?? text.length);
    const own = headers[index + 1] ? body : body.replace(END, '\n');
    const [trailing = ''] = SETTINGS.exec(own) ?? [];
    const entry = entryOf(header, own.slice(0, own.length - trailing.length), { ...settings });
    // They hold from here on, until they are set again.
    Object.assign(settings, settingsOf(trailing));
    return entry;
  });
}

/** Types that pg_dump never puts before the data. */
const AFTER_DATA =
  /^(?:(?:CHECK |FK )?CONSTRAINT|INDEX(?: ATTACH)?|STATISTICS|RULE|(?:EVENT )?TRIGGER|ROW SECURITY|POLICY|(?:PUBLICATION|SUBSCRIPTION)\b.*)$/;

/**
 * Parts what comes before the data from what comes after it, as --section does. pg_dump sorts all of one before all of the other
 * (so a view that needs a primary key is behind it); privileges alone come at the end, and belong to what they are on.
 * @see https://www.postgresql.org/docs/current/app-pgdump.html
 */
export function sectionsOf(entries: readonly DumpEntry[]): { before: DumpEntry[]; after: DumpEntry[] } {
  const first = entries.findIndex(({ type }) => AFTER_DATA.test(type));
  const isLate = new Set<number>();
  const before: DumpEntry[] = [];
  const after: DumpEntry[] = [];
  for (const [index, entry] of entries.entries()) {
    const behind = first !== -1 && index >= first;
    const late =
      entry.type === 'DEFAULT ACL' ||
      (entry.type === 'ACL' ? entry.dependencies.some((each) => isLate.has(each)) : behind);
    if (late) isLate.add(entry.id);
    (late ? after : before).push(entry);
  }
  return { before, after };
}

function entryOf(header: RegExpMatchArray, text: string, settings: Record<string, string>): DumpEntry {
  const [, id, classOid, oid, dependencies, name, type, schema] = header;
  return {
    id: Number(id),
    classOid: Number(classOid),
    oid: Number(oid),
    dependencies: dependencies?.trim().split(' ').map(Number) ?? [],
    type: type!,
    name: name!,
    schema: schema === '-' ? null : schema!,
    settings,
    sql: withoutOurs(type!, withoutAttributeVersions(type!, text)).trim(),
  };
}

function settingsOf(text: string): Record<string, string> {
  const found = text.matchAll(/^SET (default_(?:tablespace|table_access_method)) = (.*);$/gm);
  return Object.fromEntries([...found].map(([, name, value]) => [name!, value!]));
}

/**
 * Some minor releases keep a column option `pg_attver` for themselves; a pg_dump that does not know it prints it, and no server
 * takes it.
 */
function withoutAttributeVersions(type: string, text: string): string {
  if (!/TABLE|VIEW|INDEX/.test(type) || !text.includes('pg_attver')) return text;
  return text.replaceAll(/^(ALTER .* ALTER COLUMN .* SET \()([^()]*)(\);)\n/gm, (line, head, options: string, tail) => {
    const rest = options.split(', ').filter((option) => !option.startsWith('pg_attver='));
    if (rest.length === options.split(', ').length) return line as string;
    return rest.length === 0 ? '' : `${head}${rest.join(', ')}${tail}\n`;
  });
}

/** The replication role's privileges stay on the source: the target has no such role. */
function withoutOurs(type: string, text: string): string {
  return type === 'ACL' ? text.replaceAll(/^(?:GRANT|REVOKE) .* (?:TO|FROM) pgconvoy[a-z0-9_]*;\n/gm, '') : text;
}
