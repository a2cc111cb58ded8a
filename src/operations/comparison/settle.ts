import { setTimeout as sleep } from 'node:timers/promises';
import { ComparedRow, rowsByKey } from '../../postgres/catalog/comparison.ts';
import type { ComparableTable, Key, Writing } from '../../postgres/catalog/comparison.ts';
import { differingRows, identityOf, isUnlike, pairsOf } from './narrow.ts';
import type { AskBoth, RowPair } from './narrow.ts';
import type { Read, Sides } from './sides.ts';
import type { DifferingPiece } from './sums.ts';

/** How often a piece is looked into anew as long as more of it differs than can be followed. */
const LOOKS = 3;
/** How often each of its rows is read again, with a pause that grows, milliseconds. */
const ROUNDS = 8;
const PAUSE_MS = 50;
/** So often in a row must a row have proven to be different: a synchronous standby that is late keeps from sight what the target has already. */
const PROOFS = 2;
/** Rows followed at the same time; and read by one statement. */
const MOST_ROWS = 2_000;
const ROWS_AT_ONCE = 200;

export interface Settled {
  /** Rows that are not the same, and would not become so. */
  readonly rows: readonly RowPair[];
  /** What was the same, or became so, or is among `rows`: everything. */
  readonly whole: boolean;
}

interface Settling {
  readonly sides: Sides;
  /** Waits until the target has everything that the source had when this was called. */
  readonly caughtUp: () => Promise<void>;
  readonly key: Key | undefined;
  readonly writing: Writing;
  readonly signal: AbortSignal;
}

/**
 * What is different in a piece while writers write: rows that are on their way become the same, so each that differs is followed until
 * it is, or until it is proven that it never will be.
 */
export async function settle(settling: Settling, differing: DifferingPiece): Promise<Settled> {
  const { sides, caughtUp, key, writing } = settling;
  const behind: AskBoth = async (row, statement) => {
    const there = await sides.source(row, statement);
    await caughtUp();
    return [there, await sides.target(row, statement)];
  };
  for (let look = 1; ; look++) {
    const { rows, whole } = await differingRows(behind, differing, key, writing);
    const followed = rows.slice(0, MOST_ROWS);
    const { real, open } = await follow(settling, differing.piece.table, followed);
    const seenAll = whole && followed.length === rows.length;
    // Rows that change all the time would do so in another look, too.
    if (seenAll || real.length > 0 || look === LOOKS) return { rows: real, whole: seenAll && open === 0 };
  }
}

interface Seen {
  readonly source: readonly ComparedRow[];
  readonly target: readonly ComparedRow[];
}

const NOWHERE: Seen = { source: [], target: [] };

/**
 * Reads rows again and again: the source first, and the target after it has caught up with that. Two things prove that a row never becomes
 * the same. Its version on the source was the same before and after the target was read: then the target should have had just that. Or
 * the source lacked it when the target had caught up, and the target still has the version of before.
 */
async function follow(
  settling: Settling,
  table: ComparableTable,
  rows: readonly RowPair[],
): Promise<{ readonly real: RowPair[]; readonly open: number }> {
  const { sides, caughtUp, signal } = settling;
  let open = [...rows];
  let before = new Map<string, Seen>();
  const real: RowPair[] = [];
  const proofs = new Map<string, number>();
  for (let round = 0; round < ROUNDS && open.length > 0; round++) {
    if (round > 0) await sleep(PAUSE_MS * round, undefined, { signal });
    const there = await read(settling, sides.source, table, open);
    await caughtUp();
    const here = await read(settling, sides.target, table, open);
    const now = new Map<string, Seen>(pairsOf(there, here).map((pair) => [identityOf(pair), pair]));
    const left: RowPair[] = [];
    for (const row of open) {
      const [earlier, seen] = [before.get(identityOf(row)), now.get(identityOf(row)) ?? NOWHERE];
      const pair = { key: row.key, number: row.number, ...seen };
      if (!isUnlike(seen)) continue;
      const proven = earlier && isReal(earlier, seen) ? (proofs.get(identityOf(row)) ?? 0) + 1 : 0;
      proofs.set(identityOf(row), proven);
      (proven === PROOFS ? real : left).push(pair);
    }
    before = now;
    open = left;
  }
  return { real, open: open.length };
}

function isReal(earlier: Seen, now: Seen): boolean {
  if (!isUnlike(earlier)) return false;
  const unchanged = versions(earlier.source) === versions(now.source);
  if (earlier.source.length > 0) return unchanged;
  return unchanged && isUnlike(now) && versions(earlier.target) === versions(now.target);
}

const versions = (rows: readonly ComparedRow[]): string =>
  rows
    .map(({ version }) => version)
    .toSorted()
    .join();

async function read(
  { key, writing }: Settling,
  side: Read,
  table: ComparableTable,
  rows: readonly RowPair[],
): Promise<ComparedRow[]> {
  const found: ComparedRow[] = [];
  for (let start = 0; start < rows.length; start += ROWS_AT_ONCE) {
    const some = rows.slice(start, start + ROWS_AT_ONCE).map((row) => ({ key: [...row.key], number: row.number }));
    found.push(...(await side(ComparedRow, rowsByKey(table, key, some, writing))));
  }
  return found;
}
