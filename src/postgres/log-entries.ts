/** What a server's log says, in whichever of its formats. Pure. @see https://www.postgresql.org/docs/current/runtime-config-logging.html */

export interface LogEntry {
  /** Of the process; undefined where its lines do not tell. */
  readonly pid: number | undefined;
  readonly severity: string;
  readonly message: string;
  readonly detail?: string;
  readonly context?: string;
}

export type LogFormat = 'jsonlog' | 'csvlog' | 'stderr';

/** @param text the end of a file: its first line may be a part of one @param prefix log_line_prefix */
export function logEntries(format: LogFormat, text: string, prefix: string): readonly LogEntry[] {
  if (format === 'jsonlog') return jsonEntries(text);
  return format === 'csvlog' ? csvEntries(text) : plainEntries(text, prefix);
}

interface JsonLine {
  readonly pid?: number;
  readonly error_severity?: string;
  readonly message?: string;
  readonly detail?: string;
  readonly context?: string;
}

function jsonEntries(text: string): LogEntry[] {
  return text.split('\n').flatMap((line) => {
    try {
      const { pid, error_severity: severity = '', message = '', detail, context } = JSON.parse(line) as JsonLine;
      return { pid, severity, message, ...(detail ? { detail } : {}), ...(context ? { context } : {}) };
    } catch {
      return [];
    }
  });
}

/** Columns of csvlog; later majors add theirs at the end. */
const CSV = { pid: 3, severity: 11, message: 13, detail: 14, context: 18 };

function csvEntries(text: string): LogEntry[] {
  // Whatever comes before the first line that begins like one is the rest of another.
  const start = text.search(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [^,\n]*,/m);
  if (start < 0) return [];
  return csvRecords(text.slice(start)).map((fields) => {
    const { [CSV.detail]: detail, [CSV.context]: context } = fields;
    return {
      pid: Number(fields[CSV.pid]),
      severity: fields[CSV.severity] ?? '',
      message: fields[CSV.message] ?? '',
      ...(detail ? { detail } : {}),
      ...(context ? { context } : {}),
    };
  });
}

function csvRecords(text: string): string[][] {
  const records: string[][] = [[]];
  for (const [, quoted, bare, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n|$)/g)) {
    records.at(-1)!.push(quoted?.replaceAll('""', '"') ?? bare ?? '');
    if (end === '\n') records.push([]);
  }
  return records.filter((fields) => fields.length > CSV.context);
}

/** What belongs to one message is written at once: its lines follow one another, and longer texts go on behind a tab. */
function plainEntries(text: string, prefix: string): LogEntry[] {
  const line = new RegExp(`^${patternOf(prefix)}(?<kind>[A-Z]+\\d?):  (?<said>.*)$`);
  const entries: Writable<LogEntry>[] = [];
  let field: 'message' | 'detail' | 'context' | undefined;
  for (const one of text.split('\n')) {
    const entry = entries.at(-1);
    if (one.startsWith('\t')) {
      if (entry && field) entry[field] += `\n${one.slice(1)}`;
      continue;
    }
    const { pid, kind, said = '' } = line.exec(one)?.groups ?? {};
    field = undefined;
    if (kind === undefined) continue;
    if (kind === 'DETAIL' || kind === 'CONTEXT') {
      field = kind === 'DETAIL' ? 'detail' : 'context';
      if (entry) entry[field] = said;
    } else if (!MORE.has(kind)) {
      field = 'message';
      entries.push({ pid: pid === undefined ? undefined : Number(pid), severity: kind, message: said });
    }
  }
  return entries;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Lines that say more of the message before them. */
const MORE: ReadonlySet<string> = new Set(['HINT', 'STATEMENT', 'QUERY', 'LOCATION', 'BACKTRACE']);

const TIME = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? \S+`;

/** Processes that are nobody's session, as those that apply, write it up to `%q` alone. */
function patternOf(prefix: string): string {
  const [own = ''] = prefix.split('%q');
  let named = false;
  return own.replaceAll(/%%|%-?\d*([a-zA-Z])|[\\^$.*+?()[\]{}|]/g, (found, escape: string | undefined) => {
    if (found === '%%') return '%';
    if (escape === undefined) return `\\${found}`;
    if (escape === 'm' || escape === 't' || escape === 's') return TIME;
    if (escape !== 'p' || named) return '.*?';
    named = true;
    return String.raw` *(?<pid>\d+) *`;
  });
}
