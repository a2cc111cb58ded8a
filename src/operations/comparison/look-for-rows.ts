import type { OperationContext } from '../../engine/operation.ts';
import type { Writing } from '../../postgres/catalog/comparison.ts';
import { tableKey } from '../../replication/table-names.ts';
import { differencesOf } from './differences.ts';
import type { FoundRows, TableDifference } from './differences.ts';
import { atOnce, differingRows } from './narrow.ts';
import { keysOf } from './pieces.ts';
import { sideBySide } from './sides.ts';
import type { Reading } from './sides.ts';
import type { DifferingPiece } from './sums.ts';

/** Pieces whose rows are looked for; of others only the range is told. */
const LOOKED_INTO = 20;

/** Which rows they are that differ: each piece is read twice more, on both sides at the same time. Nobody may be writing. */
export async function lookForRows(
  context: OperationContext,
  differing: readonly DifferingPiece[],
  { reading, writing }: { readonly reading: Reading; readonly writing: Writing },
): Promise<TableDifference[]> {
  if (differing.length === 0) return [];
  const found: FoundRows[] = differing.slice(LOOKED_INTO).map((each) => ({ differing: each, rows: [], whole: false }));
  const queue = differing.slice(0, LOOKED_INTO);
  const bytes = queue.reduce((sum, { piece }) => sum + piece.bytes, 0);
  let keys: Awaited<ReturnType<typeof keysOf>> = new Map();
  await sideBySide(context, { bytes, parts: 1 }, reading, async (sides) => {
    keys = await keysOf(sides.source, [...new Set(differing.map(({ piece }) => piece.table))]);
    for (const each of queue) {
      context.signal.throwIfAborted();
      const { rows, whole } = await differingRows(atOnce(sides), each, keys.get(tableKey(each.piece.table)), writing);
      found.push({ differing: each, rows, whole });
    }
  });
  return differencesOf(context, found, keys);
}
