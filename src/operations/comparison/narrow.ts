import type * as z from 'zod';
import { BucketSum, ComparedRow, bucketRows, bucketSums } from '../../postgres/catalog/comparison.ts';
import type { Key, Piece, Writing } from '../../postgres/catalog/comparison.ts';
import type { Sql } from '../../postgres/sql.ts';
import type { Sides } from './sides.ts';
import type { DifferingPiece } from './sums.ts';

/** Up to so many rows are fetched at once; more go into buckets first. */
const FEW_ROWS = 2_000;
const ROWS_OF_A_BUCKET = 64;
const MOST_BUCKETS = 65_536;
/** Rows fetched of one piece, on each side. */
const MOST_ROWS = 50_000;

/** The same question to both sides. */
export type AskBoth = <S extends z.ZodType>(row: S, statement: Sql) => Promise<readonly [z.output<S>[], z.output<S>[]]>;

export const atOnce =
  ({ source, target }: Sides): AskBoth =>
  (row, statement) =>
    Promise.all([source(row, statement), target(row, statement)]);

/** A row as both sides have it; there are several where nothing tells them apart. */
export interface RowPair {
  readonly key: readonly string[];
  readonly number: string;
  readonly source: readonly ComparedRow[];
  readonly target: readonly ComparedRow[];
}

/** The rows that are not the same on both sides; `whole`: there are no others. Two questions to each side. */
export async function differingRows(
  ask: AskBoth,
  { piece, source, target }: DifferingPiece,
  key: Key | undefined,
  writing: Writing,
): Promise<{ readonly rows: readonly RowPair[]; readonly whole: boolean }> {
  const buckets = bucketsFor(Math.max(source.rows, target.rows));
  const { wanted, whole } = await differingBuckets(ask, piece, key, buckets, writing);
  if (wanted.length === 0) return { rows: [], whole };
  const [there, here] = await ask(ComparedRow, bucketRows(piece, key, { buckets, wanted }, writing));
  return { rows: pairsOf(there, here).filter(isUnlike), whole };
}

function bucketsFor(rows: number): number {
  if (rows <= FEW_ROWS) return 1;
  return Math.min(MOST_BUCKETS, 2 ** Math.ceil(Math.log2(rows / ROWS_OF_A_BUCKET)));
}

async function differingBuckets(
  ask: AskBoth,
  piece: Piece,
  key: Key | undefined,
  buckets: number,
  writing: Writing,
): Promise<{ readonly wanted: readonly number[]; readonly whole: boolean }> {
  if (buckets === 1) return { wanted: [0], whole: true };
  const [there, here] = await ask(BucketSum, bucketSums(piece, key, buckets, writing));
  const [onSource, onTarget] = [there, here].map((sums) => new Map(sums.map((each) => [each.bucket, each])));
  const wanted: number[] = [];
  let rows = 0;
  for (const bucket of new Set([...onSource!.keys(), ...onTarget!.keys()])) {
    const [one, other] = [onSource!.get(bucket), onTarget!.get(bucket)];
    if (one?.sum === other?.sum && one?.rows === other?.rows) continue;
    rows += Math.max(one?.rows ?? 0, other?.rows ?? 0);
    if (wanted.length > 0 && rows > MOST_ROWS) return { wanted, whole: false };
    wanted.push(bucket);
  }
  return { wanted, whole: true };
}

const identityOf = ({ key, number }: Pick<RowPair, 'key' | 'number'>): string =>
  key.length > 0 ? JSON.stringify(key) : number;

/** Rows of both sides by their key; without one, by what they hold. */
export function pairsOf(there: readonly ComparedRow[], here: readonly ComparedRow[]): RowPair[] {
  const pairs = new Map<string, { key: string[]; number: string; source: ComparedRow[]; target: ComparedRow[] }>();
  const put = (rows: readonly ComparedRow[], side: 'source' | 'target') => {
    for (const row of rows) {
      const identity = identityOf(row);
      const pair = pairs.get(identity) ?? { key: row.key, number: row.number, source: [], target: [] };
      pair[side].push(row);
      pairs.set(identity, pair);
    }
  };
  put(there, 'source');
  put(here, 'target');
  return [...pairs.values()];
}

const numbersOf = (rows: readonly ComparedRow[]): string =>
  rows
    .map(({ number }) => number)
    .toSorted()
    .join();

export const isUnlike = ({ source, target }: Pick<RowPair, 'source' | 'target'>): boolean =>
  numbersOf(source) !== numbersOf(target);
export { identityOf };
