import { KeyBounds, TableKey, keyBounds, tableKeys } from '../../postgres/catalog/comparison.ts';
import type { ComparableTable, Piece } from '../../postgres/catalog/comparison.ts';
import { tableKey } from '../../replication/table-names.ts';
import type { Read } from './sides.ts';

/** Small tables are compared many at a time, so that a thousand of them are no thousand round trips. */
const PIECES_AT_ONCE = 50;
/** Large ones piece by piece. */
const PIECE_BYTES = 32 * 1_048_576;
const MOST_PIECES = 2_000;
/** Where the rows of a range of keys lie all over the table, each piece would read all of it. */
const LEAST_CORRELATION = 0.8;

/** Types whose values all majors order alike, whatever the collation. */
const ORDERED = new Set([
  'smallint',
  'integer',
  'bigint',
  'oid',
  'date',
  'timestamp without time zone',
  'timestamp with time zone',
  'uuid',
]);
const isOrderedAlike = (type: string): boolean =>
  ORDERED.has(type) || /^numeric(\(|$)/.test(type) || /^timestamp\(\d\) with(out)? time zone$/.test(type);

export type Keys = ReadonlyMap<string, TableKey>;

/** The keys of these tables, by tableKey. */
export async function keysOf(read: Read, tables: readonly ComparableTable[]): Promise<Keys> {
  if (tables.length === 0) return new Map();
  const found = await read(TableKey, tableKeys(tables));
  return new Map(found.map((key) => [tableKey(key), key]));
}

/** Tables as pieces that are compared one at a time, or many small ones together; in the given order. */
export async function batchesOf(read: Read, tables: readonly ComparableTable[]): Promise<Piece[][]> {
  const large = tables.filter(({ bytes }) => bytes >= 2 * PIECE_BYTES);
  const keys = await keysOf(read, large);
  const pieces: Piece[] = [];
  for (const table of tables) pieces.push(...(await piecesOf(read, table, keys.get(tableKey(table)))));
  return batched(pieces);
}

/** By ranges of the first column of its key, where both servers order it alike and it fits how the rows lie. */
async function piecesOf(read: Read, table: ComparableTable, key: TableKey | undefined): Promise<Piece[]> {
  const whole = [{ table, bytes: table.bytes }];
  const [column, type] = [key?.columns[0], key?.types[0]];
  if (column === undefined || type === undefined || !isOrderedAlike(type)) return whole;
  if ((key?.correlation ?? (type === 'uuid' ? 0 : 1)) < LEAST_CORRELATION) return whole;
  const count = Math.min(MOST_PIECES, Math.ceil(table.bytes / PIECE_BYTES));
  const [found] = await read(KeyBounds, keyBounds(table, column, count));
  const bounds = [...new Set(found?.bounds ?? [])];
  if (bounds.length === 0) return whole;
  const bytes = table.bytes / (bounds.length + 1);
  return [undefined, ...bounds].map((from, index) => ({
    table,
    range: { column, type, from, to: bounds[index] },
    bytes,
  }));
}

function batched(pieces: readonly Piece[]): Piece[][] {
  const result: Piece[][] = [];
  let bytes = Infinity;
  for (const piece of pieces) {
    const last = result.at(-1);
    if (!last || bytes + piece.bytes > PIECE_BYTES || last.length === PIECES_AT_ONCE) {
      result.push([piece]);
      bytes = piece.bytes;
    } else {
      last.push(piece);
      bytes += piece.bytes;
    }
  }
  return result;
}
