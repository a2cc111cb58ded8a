/**
 * The lines of [databases] in PgBouncer's configuration. Pure: texts in, texts out; what is not host or port stays byte for byte.
 * @see https://www.pgbouncer.org/config.html#section-databases
 */

/** Values as they stand in the file, quotes and all; null where the line does not have the key. */
export interface AddressText {
  readonly host: string | null;
  readonly port: string | null;
}

/** A line of [databases]. */
export interface FileEntry {
  readonly name: string;
  /** Undefined: a unix socket in its default folder. */
  readonly host: string | undefined;
  readonly port: number;
  /** Its name on the server. */
  readonly database: string;
  readonly address: AddressText;
}

/** What PgBouncer takes where a line has no port. */
const DEFAULT_PORT = 5_432;

interface Line {
  readonly name: string;
  /** Where the value of the line begins and ends in the text. */
  readonly start: number;
  readonly end: number;
}

interface Token {
  readonly key: string;
  /** As it is written. */
  readonly written: string;
  readonly start: number;
  readonly valueStart: number;
  readonly end: number;
}

/** All databases of the file, each once: of two lines for a name the later one counts. */
export function entriesOf(text: string): FileEntry[] {
  const entries = new Map<string, FileEntry>();
  for (const line of linesOf(text)) {
    const tokens = tokensOf(text, line);
    entries.set(line.name, {
      name: line.name,
      ...addressOf(addressIn(tokens)),
      database: unquoted(tokens.findLast(({ key }) => key === 'dbname')?.written) ?? line.name,
      address: addressIn(tokens),
    });
  }
  return [...entries.values()];
}

/** An address as it is written into the file. */
export const addressText = (host: string, port: number): AddressText => ({
  host: /^[\w.:/,-]+$/.test(host) ? host : `'${host.replaceAll("'", "''")}'`,
  port: String(port),
});

/** What such a text says. */
export const addressOf = ({ host, port }: AddressText): Pick<FileEntry, 'host' | 'port'> => ({
  host: host === null ? undefined : unquoted(host),
  port: port === null ? DEFAULT_PORT : Number(unquoted(port)),
});

/** The text with another address for this database; the same text where it has that address already. */
export function withAddress(text: string, name: string, wanted: AddressText): string {
  const line = linesOf(text).findLast((each) => each.name === name);
  if (!line) throw new RangeError(`no line for ${name}`);
  // The port goes behind the host, so it comes when the host is there and goes before it does.
  const keys = wanted.port === null ? (['port', 'host'] as const) : (['host', 'port'] as const);
  return keys.reduce((changed, key) => withValue(changed, name, key, wanted[key]), text);
}

function withValue(text: string, name: string, key: 'host' | 'port', wanted: string | null): string {
  const line = linesOf(text).findLast((each) => each.name === name)!;
  const tokens = tokensOf(text, line);
  const token = tokens.findLast((each) => each.key === key);
  const put = (start: number, end: number, written: string) => text.slice(0, start) + written + text.slice(end);
  if (token) {
    if (wanted !== null) return put(token.valueStart, token.end, wanted);
    if (token.start > line.start) return put(token.start - 1, token.end, '');
    return put(token.start, token.end < line.end ? token.end + 1 : token.end, '');
  }
  if (wanted === null) return text;
  const host = tokens.findLast((each) => each.key === 'host');
  if (key === 'port' && host) return put(host.end, host.end, ` port=${wanted}`);
  return put(line.start, line.start, `${key}=${wanted}${line.start < line.end ? ' ' : ''}`);
}

/** A file that is included may begin in the middle of [databases]. */
function linesOf(text: string): Line[] {
  const lines: Line[] = [];
  let section = 'databases';
  let at = 0;
  for (const line of text.split('\n')) {
    const [, opened] = /^\s*\[([^\]]*)\]/.exec(line) ?? [];
    section = opened ?? section;
    const entry = /^([ \t]*(?:"((?:[^"]|"")*)"|([\w.*-]+))[ \t]*=[ \t]*)(.*?)[ \t\r]*$/.exec(line);
    if (opened === undefined && section === 'databases' && entry) {
      const [, before = '', quotedName, plainName, value = ''] = entry;
      const start = at + before.length;
      lines.push({ name: plainName ?? quotedName!.replaceAll('""', '"'), start, end: start + value.length });
    }
    at += line.length + 1;
  }
  return lines;
}

function tokensOf(text: string, { start, end }: Line): Token[] {
  const tokens = text.slice(start, end).matchAll(/([a-z_]+)([ \t]*=[ \t]*)('(?:[^']|'')*'|[^\s']\S*)/g);
  return [...tokens].map(({ index, 1: key = '', 2: equals = '', 3: written = '' }) => {
    const valueStart = start + index + key.length + equals.length;
    return { key, written, start: start + index, valueStart, end: valueStart + written.length };
  });
}

const addressIn = (tokens: readonly Token[]): AddressText => ({
  host: tokens.findLast(({ key }) => key === 'host')?.written ?? null,
  port: tokens.findLast(({ key }) => key === 'port')?.written ?? null,
});

function unquoted(written: string | undefined): string | undefined {
  return written?.startsWith("'") ? written.slice(1, -1).replaceAll("''", "'") : written;
}
