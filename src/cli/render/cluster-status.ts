import type { ClusterStatus, DatabaseStatus } from '../../runtime/status/types.ts';
import type { Finding } from '../../engine/finding.ts';
import type { DriftStatus } from '../../runtime/drift-status.ts';
import { renderFindings } from './findings.ts';
import type { Style } from './style.ts';
import { bytes, clipMiddle, columns, duration, plural, visible, visibleLines, wrap } from './text.ts';

type State = DatabaseStatus['state'];

/** What needs an eye comes first. */
const ORDER = [
  'down',
  'missing',
  'disabled',
  'initializing',
  'set-up',
  'not-set-up',
  'replicating',
  'switched-over',
] as const satisfies readonly State[];

const SYMBOLS: Readonly<Record<State, string>> = {
  down: '✗',
  missing: '✗',
  disabled: '!',
  initializing: '▸',
  'set-up': '·',
  'not-set-up': '·',
  replicating: '✓',
  'switched-over': '✓',
};

/** Rows of databases that are as they should be; of more, they are counted. */
const ROWS = 40;

/** Both servers, the engine and its role: what every line below rests on. */
export function renderConfiguration({ configuration, unreachable }: ClusterStatus, style: Style): string {
  const { source, target, engine, role } = configuration;
  const lines = unreachable.map(({ side, message }) =>
    style.red(`✗ the ${side} cannot be asked: ${visibleLines(message)}`),
  );
  const server = (side: string, { version, address }: ClusterStatus['configuration']['source']) =>
    `${side}  ${version === undefined ? '' : `PostgreSQL ${visible(version.split(' ', 1)[0]!)} at `}${visible(address)}`;
  const ready = role.ready === undefined ? '' : role.ready ? ' is ready' : ' is not there yet';
  lines.push(server('source', source), server('target', target));
  lines.push(`engine  ${engine ?? 'unknown'}; replication role ${visible(role.name)}${ready}`);
  return lines.join('\n');
}

/**
 * Each database: how far it is set up on either side, whether it replicates, how far the target is behind, and what that makes the
 * source keep; problems first, with their reason.
 */
export function renderDatabases(
  { databases, unreachable, drift = [], driftUnread = 0 }: ClusterStatus & Partial<DriftStatus>,
  style: Style,
  width: number,
): string {
  if (databases.length === 0) return unreachable.length === 0 ? 'No database takes part.' : '';
  const sorted = ORDER.flatMap((state) => databases.filter((database) => database.state === state));
  const counts = ORDER.flatMap((state) => {
    const count = databases.filter((database) => database.state === state).length;
    return count === 0 ? [] : [`${count} ${wordsOf(state)}`];
  });
  const shown = chosen(sorted);
  const [head, ...rows] = columns([
    ['  database', 'state', 'source', 'target', { right: 'behind' }, { right: 'for' }, { right: 'WAL kept' }],
    ...shown.map((database) => row(database, Math.max(11, width - 72))),
  ]);
  const lines = [wrap(`${plural(databases.length, 'database')}: ${counts.join(', ')}`, width), style.bold(head!)];
  for (const [index, database] of shown.entries()) {
    lines.push(isBad(database) ? style.red(rows[index]!) : rows[index]!);
    const note = noteOf(database);
    if (note !== undefined) lines.push(style.yellow(wrap(visibleLines(note), width - 6, '      ')));
  }
  const note = (text: string) => wrap(text, width - 2, '  ');
  const hidden = sorted.length - shown.length;
  if (hidden > 0)
    lines.push(style.dim(note(`and ${plural(hidden, 'more database')} without a problem (--json has all)`)));
  if (driftUnread > 0) {
    const unread = plural(driftUnread, 'database');
    lines.push(style.dim(note(`not looked at for changes of the schema: ${unread} (status --drift looks at all)`)));
  }
  return [...lines, ...driftLines(drift, style, width)].join('\n');
}

const driftLines = (drift: readonly Finding[], style: Style, width: number): string[] =>
  drift.length === 0 ? [] : ['', style.bold('changed on one side alone:'), renderFindings(drift, style, width)];

const isBad = ({ state }: DatabaseStatus): boolean => state === 'down' || state === 'missing';

/** All that need an eye, and of the rest as many as one can read. */
function chosen(sorted: readonly DatabaseStatus[]): readonly DatabaseStatus[] {
  const needed = sorted.filter(
    (database) => isBad(database) || database.state === 'disabled' || database.reason !== undefined,
  );
  const rest = sorted.filter((database) => !needed.includes(database));
  return [...needed, ...rest.slice(0, Math.max(0, ROWS - needed.length))];
}

const wordsOf = (state: State): string => state.replaceAll('-', ' ');

function row(database: DatabaseStatus, nameWidth: number) {
  const { state, lagBytes, lagSeconds, slot } = database;
  return [
    `${SYMBOLS[state]} ${clipMiddle(visible(database.database), nameWidth)}`,
    wordsOf(state),
    sourceWords(database),
    targetWords(database),
    { right: lagBytes === undefined ? '' : bytes(lagBytes) },
    { right: lagSeconds === undefined ? '' : duration(lagSeconds * 1_000) },
    { right: slot ? bytes(slot.retainedBytes) : '' },
  ];
}

/** How far the road has come on the source. */
function sourceWords({ setup: { source, target }, slot }: DatabaseStatus): string {
  if (target.opened) return source.fenced ? 'fenced' : '–';
  if (slot?.walStatus === 'lost') return 'slot lost';
  if (slot) return slot.active ? 'slot read' : 'slot idle';
  if (source.fenced) return 'fenced';
  return source.published ? 'published' : '–';
}

/** How far the road has come on the target. */
function targetWords({ setup: { source, target }, slot }: DatabaseStatus): string {
  if (target.opened) return slot ? 'open, way back' : 'open';
  if (target.subscription) return 'subscribed';
  if (target.schema !== 'nothing') return source.published || source.slot ? 'schema' : 'half made';
  if (target.ours) return 'empty';
  return target.exists ? 'not ours' : '–';
}

function noteOf({ state, tables, reason }: DatabaseStatus): string | undefined {
  if (reason !== undefined || !tables || state !== 'initializing') return reason;
  const all = tables.waiting + tables.copying + tables.catchingUp + tables.streaming;
  return `${tables.streaming} of ${plural(all, 'table')} through, ${tables.copying} being copied`;
}
