import type { PlannedIdentities, PlannedIdentity } from '../../runtime/planned-identities.ts';
import { remedyLines } from './problems.ts';
import type { Style } from './style.ts';
import { bytes, columns, integer, plural, visible, visibleLines, wrap } from './text.ts';

/** In the order in which their costs are told. */
const KINDS: Readonly<Record<PlannedIdentity['choice'], string>> = {
  index: 'index',
  full: 'whole row',
  'surrogate-key': 'key column, by a rewrite',
  'surrogate-key in batches': 'key column, in batches',
  skip: 'left to you',
  nothing: 'needs a decision',
};

/** Which tables get a replica identity, by what, why, and what that costs; nothing where no table needs one. */
export function renderIdentities(planned: PlannedIdentities, style: Style, width: number): string {
  const { tables, rules, unused } = planned;
  const warnings = unused.map((rule) => style.yellow(`! fix.tables: no table fits ${visible(rule)}`));
  if (tables.length === 0) return warnings.join('\n');
  return [
    style.bold(`${plural(tables.length, 'table')} without a replica identity`),
    ...byDatabase(tables).flatMap(([database, those]) => [
      '',
      style.bold(`  database "${visible(database)}"`),
      ...tableLines(those, style, width),
    ]),
    '',
    style.bold('What it costs'),
    ...costLines(tables, width),
    ...(rules === undefined ? [] : ['', ...ruleLines(rules, style, width)]),
    ...(warnings.length > 0 ? ['', ...warnings] : []),
  ].join('\n');
}

function byDatabase(tables: readonly PlannedIdentity[]): readonly (readonly [string, readonly PlannedIdentity[]])[] {
  const found = new Map<string, PlannedIdentity[]>();
  for (const table of tables) {
    const known = found.get(table.database);
    if (known) known.push(table);
    else found.set(table.database, [table]);
  }
  return [...found];
}

function tableLines(tables: readonly PlannedIdentity[], style: Style, width: number): string[] {
  const rows = columns(
    tables.map((table) => [
      `    ${visible(table.table)}`,
      labelOf(table),
      { right: bytes(table.bytes) },
      { right: table.rows > 0 ? `~${plural(table.rows, 'row')}` : '' },
      table.choice === 'nothing' ? '' : `${table.why}${walOf(table)}`,
    ]),
  );
  return tables.flatMap((table, index) => {
    const row = rows[index]!;
    if (table.choice !== 'nothing') return [row];
    return [style.red(row), ...wrap(visibleLines(table.why), width - 6, '      ').split('\n')];
  });
}

const labelOf = ({ choice, index }: PlannedIdentity): string =>
  index === undefined ? KINDS[choice] : `${KINDS[choice]} ${visible(index)}`;

const walOf = ({ walBytes }: PlannedIdentity): string => (walBytes > 0 ? `; about ${bytes(walBytes)} of WAL` : '');

function costLines(tables: readonly PlannedIdentity[], width: number): string[] {
  return Object.entries(KINDS).flatMap(([kind, label]) => {
    const those = tables.filter(({ choice }) => choice === kind);
    const [first] = those;
    if (!first) return [];
    return wrap(`${label} (${integer(those.length)}): ${first.cost}`, width - 4, '    ')
      .slice(2)
      .split('\n');
  });
}

function ruleLines(rules: string, style: Style, width: number): string[] {
  const said =
    'A key column for all that need a decision, by these lines in the configuration; or give them a primary key, or leave their database out with databases.exclude:';
  return [...wrap(said, width).split('\n'), ...remedyLines(rules, '  ', style)];
}
