import * as z from 'zod';
import type { Finding } from '../../engine/finding.ts';
import { listed } from '../../engine/listed.ts';
import type { OperationContext } from '../../engine/operation.ts';
import type { ComparableTable, KeyRange, TableKey, Writing } from '../../postgres/catalog/comparison.ts';
import { id, lit } from '../../postgres/sql.ts';
import type { Side } from '../../postgres/cluster.ts';
import type { TableName } from '../../replication/engine.ts';
import { tableKey } from '../../replication/table-names.ts';
import type { Compared, DifferingPiece, TableSum } from './sums.ts';
import type { RowPair } from './narrow.ts';

/** Rows named in a finding, and kept in the output, of one table. */
const NAMED = 10;
const KEPT = 100;
const VALUE = 60;

export const ComparisonOutput = z.strictObject({
  method: z.enum(['checksum', 'count', 'none']),
  /** How rows became numbers. */
  checksum: z.enum(['hash', 'md5', 'none']),
  /** Compared, all their rows. */
  tables: z.int(),
  rows: z.number(),
  /** Tables among them that are not the same. */
  differing: z.int(),
  /** Tables that were not compared, or not to their end. */
  left: z.int(),
  /** The largest tables, as the source has them. */
  listed: z.array(z.strictObject({ table: z.string(), rows: z.number(), sum: z.string().nullable() })),
  differences: z.array(
    z.strictObject({
      table: z.string(),
      what: z.string(),
      /** Rows that were found, at least so many. */
      found: z.int(),
      rows: z.array(z.strictObject({ on: z.enum(['source', 'target', 'both']), row: z.string() })),
    }),
  ),
});
export type ComparisonOutput = z.output<typeof ComparisonOutput>;

export const NOTHING_COMPARED: ComparisonOutput = {
  method: 'none',
  checksum: 'none',
  tables: 0,
  rows: 0,
  differing: 0,
  left: 0,
  listed: [],
  differences: [],
};

/** The sides as the configuration has them, whichever direction rows travel in. */
type Direction = Pick<OperationContext, 'source' | 'target'>;

/** A row that is not the same: `on` the one side alone, or on `both` with other contents. */
interface NamedRow {
  readonly on: Side | 'both';
  readonly row: string;
}

/** What is not the same in one table. */
export interface TableDifference extends TableName {
  /** The whole of it as a sentence. */
  readonly what: string;
  readonly found: number;
  readonly rows: readonly NamedRow[];
}

/** A piece that differs with the rows that do; `whole`: there are no others in it. */
export interface FoundRows {
  readonly differing: DifferingPiece;
  readonly rows: readonly RowPair[];
  readonly whole: boolean;
}

/** Pieces of one table as one difference. */
export function differencesOf(
  direction: Direction,
  found: readonly FoundRows[],
  keys: ReadonlyMap<string, TableKey>,
): TableDifference[] {
  const tables = new Map<string, FoundRows[]>();
  for (const each of found) {
    const name = tableKey(each.differing.piece.table);
    tables.set(name, [...(tables.get(name) ?? []), each]);
  }
  return [...tables].map(([name, pieces]) => {
    const { schema, name: table } = pieces[0]!.differing.piece.table;
    const named = pieces.flatMap(({ rows }) => rows.map((row) => nameOf(direction, row, keys.get(name))));
    return {
      schema,
      name: table,
      what: sentence(direction, pieces, named),
      found: named.length,
      rows: named.slice(0, KEPT),
    };
  });
}

function nameOf(direction: Direction, { key, source, target }: RowPair, tableKeys: TableKey | undefined): NamedRow {
  const [there, here] = [direction.source.side, direction.target.side];
  if (!tableKeys) {
    const [on, rows] = source.length > target.length ? [there, source] : [here, target];
    return { on, row: `ctid ${rows.map(({ at }) => at).join(', ')}` };
  }
  const on = target.length === 0 ? there : source.length === 0 ? here : 'both';
  return { on, row: tuple(tableKeys.columns, key) };
}

function tuple(columns: readonly string[], values: readonly string[]): string {
  const names = columns.map((column) => id(column).text);
  const written = values.map(literal);
  return names.length === 1 ? `${names[0]} = ${written[0]}` : `(${names.join(', ')}) = (${written.join(', ')})`;
}

function literal(value: string): string {
  const short = value.length > VALUE ? `${value.slice(0, VALUE)}…` : value;
  return /^-?\d+(\.\d+)?$/.test(short) ? short : lit(short).text.trim();
}

const PLACES: Readonly<Record<NamedRow['on'], string>> = {
  source: 'only on the source',
  target: 'only on the target',
  both: 'with other contents',
};

function sentence(direction: Direction, pieces: readonly FoundRows[], named: readonly NamedRow[]): string {
  const parts = (['both', 'source', 'target'] as const).flatMap((on) => {
    const rows = named.filter((each) => each.on === on);
    if (rows.length === 0) return [];
    const shown = rows.slice(0, NAMED).map(({ row }) => row);
    const more = rows.length > NAMED ? `, and ${rows.length - NAMED} more` : '';
    return [`${rows.length === 1 ? '1 row' : `${rows.length} rows`} ${PLACES[on]} (${shown.join(', ')}${more})`];
  });
  const open = pieces.filter(({ whole, rows }) => !whole || rows.length === 0);
  const more = parts.length > 0 ? 'more rows' : 'rows';
  const places = open.slice(0, NAMED).map(({ differing }) => described(direction, differing));
  const unnamed = open.length > 0 ? [`${more} ${places.join('; ')}${open.length > NAMED ? '; …' : ''}`] : [];
  return [...parts, ...unnamed].join('; ');
}

/** Where rows differ that were not looked for one by one. */
function described(direction: Direction, { piece, source, target }: DifferingPiece): string {
  const counts =
    source.rows === target.rows
      ? `${source.rows} rows on both sides, but not the same`
      : `${source.rows} rows on the ${direction.source.side}, ${target.rows} on the ${direction.target.side}`;
  return piece.range ? `where ${rangeText(piece.range)} (${counts})` : `(${counts})`;
}

function rangeText({ column, from, to }: KeyRange): string {
  const name = id(column).text;
  return [
    ...(from === undefined ? [] : [`${name} >= ${literal(from)}`]),
    ...(to === undefined ? [] : [`${name} < ${literal(to)}`]),
  ].join(' and ');
}

/** Tables and columns that the other side lacks; what remains can be compared. */
export function structure(
  { target: { side } }: Direction,
  tables: readonly ComparableTable[],
  present: readonly ComparableTable[],
) {
  const there = new Map(present.map((table) => [tableKey(table), new Set(table.columns)]));
  const differences: TableDifference[] = [];
  const comparable = tables.filter((table) => {
    const { schema, name } = table;
    const columns = there.get(tableKey(table));
    const lacking = table.columns.filter((column) => !columns?.has(column));
    const what = !columns
      ? `the ${side} lacks it`
      : lacking.length > 0
        ? `the ${side} lacks column ${lacking.join(', ')}`
        : undefined;
    if (what !== undefined) differences.push({ schema, name, what, found: 0, rows: [] });
    return what === undefined;
  });
  return { comparable, differences };
}

/** What a comparison has observed, of bounded size. */
export function outputOf(
  { run }: Pick<OperationContext, 'run'>,
  writing: Writing,
  { sums, left }: Compared,
  differences: readonly TableDifference[],
): ComparisonOutput {
  const largest = [...sums].toSorted(([one], [other]) => other.bytes - one.bytes);
  return {
    method: writing.checksum === 'none' ? 'count' : 'checksum',
    checksum: writing.checksum,
    tables: sums.size,
    rows: largest.reduce((total, [, { rows }]) => total + rows, 0),
    differing: differences.length,
    left: left.length,
    listed: listed(largest, run).map(([table, sum]) => ({ table: nameOfTable(table), ...numbers(sum) })),
    differences: listed(differences, run).map(({ what, found, rows, ...table }) => ({
      table: nameOfTable(table),
      what,
      found,
      rows: rows.map(({ on, row }) => ({ on, row })),
    })),
  };
}

const numbers = ({ rows, sum }: TableSum) => ({ rows, sum });

export const nameOfTable = ({ schema, name }: TableName): string => id(schema, name).text;

/** How a table of this database is made right, as a sentence without its end. `resync` goes forth alone. */
export const mend = ({ side, name }: OperationContext['target'], table: string): string =>
  side === 'target'
    ? `Then pgconvoy resync '${name}' --table '${table}' copies the table anew`
    : `Then correct the rows of ${table} there by hand`;

/** Differences named one by one; there may be thousands. */
const FINDINGS = 50;

/** Each table that differs, as a finding that blocks. */
export function differenceFindings(
  { target }: Direction,
  differences: readonly TableDifference[],
  remedy: (table: string) => string,
): Finding[] {
  const more = differences.length - FINDINGS;
  return differences.slice(0, FINDINGS).map((difference, index) => ({
    code: 'rows-differ',
    severity: 'block',
    side: target.side,
    database: target.name,
    object: nameOfTable(difference),
    message: `table ${nameOfTable(difference)} is not the same on both sides: ${difference.what}${index === FINDINGS - 1 && more > 0 ? `; and ${more} more tables` : ''}`,
    remedy: remedy(nameOfTable(difference)),
  }));
}
