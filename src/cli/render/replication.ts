import type { DatabaseReplication, ReplicationStatus } from '../../runtime/replication-status.ts';
import type { Style } from './style.ts';
import { bytes, clipMiddle, columns, duration, plural, visible, visibleLines, wrap } from './text.ts';

/** What needs an eye comes first. */
const ORDER = [
  'down',
  'missing',
  'disabled',
  'copying',
  'streaming',
] as const satisfies readonly DatabaseReplication['state'][];

/** How far each database of the target is behind and what that makes the source keep; problems first, with their reason. */
export function renderReplication({ databases, unreachable }: ReplicationStatus, style: Style, width: number): string {
  const lines = unreachable.map(({ side, message }) =>
    style.red(`✗ the ${side} cannot be asked: ${visibleLines(message)}`),
  );
  if (databases.length === 0) {
    return [...lines, ...(unreachable.length === 0 ? ['No database is being replicated.'] : [])].join('\n');
  }
  const sorted = ORDER.flatMap((state) => databases.filter((database) => database.state === state));
  const counts = ORDER.flatMap((state) => {
    const count = databases.filter((database) => database.state === state).length;
    return count === 0 ? [] : [`${count} ${state}`];
  });
  const [head, ...rows] = columns([
    ['  database', 'state', { right: 'behind' }, { right: 'for' }, { right: 'WAL kept' }, 'slot'],
    ...sorted.map((database) => row(database, Math.max(12, width - 58))),
  ]);
  lines.push(`replication: ${plural(databases.length, 'database')}, ${counts.join(', ')}`, style.bold(head!));
  for (const [index, database] of sorted.entries()) {
    const bad = database.state === 'down' || database.state === 'missing';
    lines.push(bad ? style.red(rows[index]!) : rows[index]!);
    if (database.reason !== undefined)
      lines.push(style.yellow(wrap(visibleLines(database.reason), width - 6, '      ')));
  }
  return lines.join('\n');
}

function row({ database, state, tables, lagBytes, lagSeconds, slot }: DatabaseReplication, nameWidth: number) {
  const symbol = { down: '✗', missing: '✗', disabled: '!', copying: '▸', streaming: '✓' }[state];
  const all = tables ? tables.waiting + tables.copying + tables.catchingUp + tables.streaming : 0;
  return [
    `${symbol} ${clipMiddle(visible(database), nameWidth)}`,
    tables && state === 'copying' ? `${state} ${tables.streaming}/${all} tables` : state,
    { right: lagBytes === undefined ? '' : bytes(lagBytes) },
    { right: lagSeconds === undefined ? '' : duration(lagSeconds * 1_000) },
    { right: slot ? bytes(slot.retainedBytes) : '' },
    slot
      ? `${slot.active ? 'read' : 'idle'}${slot.walStatus === undefined || slot.walStatus === 'reserved' ? '' : `, ${slot.walStatus}`}`
      : 'none',
  ];
}
