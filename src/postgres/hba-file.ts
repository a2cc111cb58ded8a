import { isIP } from 'node:net';
import { dirname, isAbsolute, join } from 'node:path';
import type { HostRule } from './catalog/server.ts';

/** What is read of the server's machine: files by path; folders by path, with the names in them. */
export interface HbaSources {
  readonly files: ReadonlyMap<string, string>;
  readonly folders: ReadonlyMap<string, readonly string[]>;
}

export interface ParsedHba {
  /** In the order in which the server tries them; lines that make no rule are left out, as the server would refuse them. */
  readonly rules: readonly HostRule[];
  /** What was named and is not among the sources: to be read, then parsed again. */
  readonly lacking: { readonly files: readonly string[]; readonly folders: readonly string[] };
}

/** A quoted word is only ever a name, never a keyword. */
interface Word {
  readonly text: string;
  readonly quoted: boolean;
}
/** Words that commas join. */
type Field = readonly Word[];

/** Words that mean something unless they are quoted; a quoted one keeps its quotes. */
const KEYWORD = /^(all|sameuser|samerole|samegroup|replication|[+/].*)$/;
const TYPES = new Set(['local', 'host', 'hostssl', 'hostnossl', 'hostgssenc', 'hostnogssenc']);
/** As deep as the server follows inclusions. */
const DEEPEST = 10;

/**
 * The rules of a pg_hba.conf from its text, for servers that do not tell them (pg_hba_file_rules came with 10).
 * @see https://www.postgresql.org/docs/current/auth-pg-hba-conf.html
 */
export function parseHba(path: string, sources: HbaSources): ParsedHba {
  const files = new Set<string>();
  const folders = new Set<string>();
  const fileText = (file: string): string => {
    const text = sources.files.get(file);
    if (text === undefined) files.add(file);
    return text ?? '';
  };

  const rulesOf = (file: string, depth: number): HostRule[] =>
    depth > DEEPEST ? [] : fieldsOf(fileText(file)).flatMap((fields) => lineRules(fields, file, depth));

  const lineRules = (fields: readonly Field[], file: string, depth: number): HostRule[] => {
    const [kind, name] = [bare(fields[0]?.[0]), fields[1]?.[0]?.text];
    if (name !== undefined && fields.length === 2) {
      const named = beside(file, name);
      if (kind === 'include' || kind === 'include_if_exists') return rulesOf(named, depth + 1);
      if (kind === 'include_dir') {
        const names = sources.folders.get(named);
        if (names === undefined) folders.add(named);
        return (names ?? [])
          .filter(isIncluded)
          .toSorted(byBytes)
          .flatMap((each) => rulesOf(join(named, each), depth + 1));
      }
    }
    const rule = ruleOf(fields, (words) => words.flatMap((word) => namesOf(word, file, depth)));
    return rule ? [rule] : [];
  };

  /** `@file` stands for the names in that file, which may name others. */
  const namesOf = (word: Word, file: string, depth: number): string[] => {
    if (word.quoted) return [KEYWORD.test(word.text) ? `"${word.text}"` : word.text];
    if (!word.text.startsWith('@') || word.text.length === 1) return [word.text];
    if (depth > DEEPEST) return [];
    const named = beside(file, word.text.slice(1));
    return fieldsOf(fileText(named)).flatMap((fields) =>
      fields.flat().flatMap((each) => namesOf(each, named, depth + 1)),
    );
  };

  const rules = rulesOf(path, 0);
  return { rules, lacking: { files: [...files], folders: [...folders] } };
}

const bare = (word: Word | undefined): string | undefined => (word?.quoted === false ? word.text : undefined);
const beside = (file: string, name: string): string => (isAbsolute(name) ? name : join(dirname(file), name));
const isIncluded = (name: string): boolean => name.endsWith('.conf') && !name.startsWith('.');
const byBytes = (one: string, other: string): number => Buffer.compare(Buffer.from(one), Buffer.from(other));

function ruleOf(fields: readonly Field[], names: (field: Field) => string[]): HostRule | undefined {
  const [type, databases, users, ...rest] = fields;
  const kind = bare(type?.[0]);
  if (kind === undefined || !TYPES.has(kind) || !databases || !users) return undefined;
  const place = kind === 'local' ? { address: null, netmask: null, used: 0 } : placeOf(rest);
  const method = place && rest[place.used]?.[0]?.text;
  if (!place || method === undefined) return undefined;
  const { address, netmask } = place;
  return { type: kind, databases: names(databases), users: names(users), address, netmask, method };
}

/** `10.0.0.0/8`, `10.0.0.0 255.0.0.0`, a host name, or one of the keywords all, samehost, samenet. */
function placeOf(fields: readonly Field[]): (Pick<HostRule, 'address' | 'netmask'> & { used: number }) | undefined {
  const first = fields[0]?.[0]?.text;
  if (first === undefined) return undefined;
  const slash = first.indexOf('/');
  const address = slash === -1 ? first : first.slice(0, slash);
  const family = isIP(address);
  if (family === 0) return slash === -1 ? { address: first, netmask: null, used: 1 } : undefined;
  if (slash !== -1) {
    const bits = /^\d+$/.test(first.slice(slash + 1)) ? Number(first.slice(slash + 1)) : Infinity;
    if (bits > (family === 6 ? 128 : 32)) return undefined;
    return { address, netmask: maskOf(bits, family), used: 1 };
  }
  const mask = fields[1]?.[0]?.text ?? '';
  return isIP(mask) === family ? { address, netmask: mask, used: 2 } : undefined;
}

/** 24 is 255.255.255.0, and ffff:ff00:: where addresses have 128 bits. */
function maskOf(bits: number, family: number): string {
  const size = family === 6 ? 16 : 8;
  const parts = Array.from({ length: family === 6 ? 8 : 4 }, (_, index) => {
    const ones = Math.min(size, Math.max(0, bits - index * size));
    return 2 ** size - 2 ** (size - ones);
  });
  if (family !== 6) return parts.join('.');
  const words = parts.map((part) => part.toString(16));
  const kept = words.slice(0, words.findLastIndex((word) => word !== '0') + 1);
  return words.length - kept.length > 1 ? `${kept.join(':')}::` : words.join(':');
}

/** The lines that hold anything, each as its fields. A backslash at the end of a line joins it with the next one. */
function fieldsOf(text: string): (readonly Field[])[] {
  return text
    .replaceAll(/\\\r?\n/g, '')
    .split(/\r?\n/)
    .map(lineFields)
    .filter((fields) => fields.length > 0);
}

/** Blanks end a field, commas a word; in double quotes neither does, nor does # begin a comment; `""` there is a quote. */
function lineFields(line: string): readonly Field[] {
  const fields: Word[][] = [];
  let joined = false;
  const part = /(\s*)(?:(,)|(#)|((?:"(?:[^"]|"")*(?:"|$)|[^\s,"#])+))/gy;
  for (const [, blanks, comma, comment, written] of line.matchAll(part)) {
    if (comment !== undefined) break;
    if (comma !== undefined) {
      // A comma joins two words even where blanks follow it, but not where they come before it.
      joined ||= blanks === '' && fields.length > 0;
      continue;
    }
    const one: Word = { text: unquoted(written!), quoted: written!.startsWith('"') };
    if (joined) fields.at(-1)!.push(one);
    else fields.push([one]);
    joined = false;
  }
  return fields;
}

const unquoted = (written: string): string =>
  written.replaceAll(/"((?:[^"]|"")*)(?:"|$)/g, (_, inner: string) => inner.replaceAll('""', '"'));
