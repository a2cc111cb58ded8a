import type { OperationContext } from '../../engine/operation.ts';
import { PieceSum, pieceSums } from '../../postgres/catalog/comparison.ts';
import type { ComparableTable, Piece, Writing } from '../../postgres/catalog/comparison.ts';
import { isOutOfTime, sideBySide } from './sides.ts';
import type { Reading, Sides } from './sides.ts';

/** What one side holds of a table. */
export interface TableSum {
  readonly rows: number;
  /** Null where only rows were counted, and of a table without rows. */
  readonly sum: string | null;
}

/** A piece that is not the same on both sides. */
export interface DifferingPiece {
  readonly piece: Piece;
  readonly source: TableSum;
  readonly target: TableSum;
}

export interface Compared {
  /** Of each table that was compared whole, what the source holds. */
  readonly sums: Map<ComparableTable, TableSum>;
  readonly differing: readonly DifferingPiece[];
  /** Tables that were not compared to their end in time. */
  readonly left: readonly ComparableTable[];
}

interface Work {
  readonly batches: readonly (readonly Piece[])[];
  readonly reading: Reading;
  readonly writing: Writing;
  /** What differs at first sight; returns what is left of it. Without it, all of it counts. */
  readonly settle?: (sides: Sides, differing: readonly DifferingPiece[]) => Promise<readonly DifferingPiece[]>;
}

/** Counts and sums of all pieces, read on both sides at the same time, in several sessions, as far as the time goes. */
export async function compareSums(context: OperationContext, work: Work): Promise<Compared> {
  const { signal, progress } = context;
  const { deadline } = work.reading;
  const total = work.batches.flat().reduce((sum, { bytes }) => sum + bytes, 0);
  const queue = [...work.batches];
  const left = new Set<ComparableTable>();
  const differing: DifferingPiece[] = [];
  const sums = new Map<ComparableTable, TableSum>();
  let done = 0;
  let rows = 0;
  await sideBySide(context, { bytes: total, parts: queue.length }, work.reading, async (sides) => {
    for (let batch = queue.shift(); batch; batch = queue.shift()) {
      signal.throwIfAborted();
      const isLate = deadline !== undefined && Date.now() >= deadline;
      const pairs = isLate ? undefined : await both(sides, batch, work).catch(unlessLate(deadline));
      if (!pairs) {
        for (const { table } of batch) left.add(table);
        continue;
      }
      for (const { piece, source } of pairs) {
        sums.set(piece.table, added(sums.get(piece.table), source));
        rows += source.rows;
        done += piece.bytes;
      }
      progress({ done, total, unit: 'bytes', rows, note: `comparing, ${queue.length} parts left` });
      const unlike = pairs.filter(({ source, target }) => source.rows !== target.rows || source.sum !== target.sum);
      differing.push(...(unlike.length > 0 && work.settle ? await work.settle(sides, unlike) : unlike));
    }
  });
  for (const table of left) sums.delete(table);
  // Told in the order of the rows, whichever session was the first to find something.
  const order = new Map(work.batches.flat().map((piece, index) => [piece, index]));
  const place = ({ piece }: DifferingPiece) => order.get(piece) ?? 0;
  return { sums, differing: differing.toSorted((one, other) => place(one) - place(other)), left: [...left] };
}

const unlessLate =
  (deadline: number | undefined) =>
  (error: unknown): undefined => {
    if (!isOutOfTime(error, deadline)) throw error;
  };

async function both(sides: Sides, batch: readonly Piece[], { writing }: Work): Promise<DifferingPiece[]> {
  const statement = pieceSums(batch, writing);
  const bytes = batch.reduce((sum, piece) => sum + piece.bytes, 0);
  const [there, here] = await Promise.all([
    sides.source(PieceSum, statement, bytes),
    sides.target(PieceSum, statement, bytes),
  ]);
  const onTarget = new Map(here.map((sum) => [sum.n, sum]));
  return there.map((source) => ({ piece: batch[source.n]!, source, target: onTarget.get(source.n)! }));
}

function added(before: TableSum | undefined, { rows, sum }: TableSum): TableSum {
  if (!before) return { rows, sum };
  const sums = [before.sum, sum].flatMap((each) => (each === null ? [] : BigInt(each)));
  return {
    rows: before.rows + rows,
    sum: sums.length === 0 ? null : String(sums.reduce((total, each) => total + each)),
  };
}
