import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';
import type { LedgerEntry } from '../../postgres/catalog/ledger-notes.ts';

/** Where the way back begins, as the ledger of the cluster it leaves from keeps it. */
const Position = z.object({
  /** The LSN of the fence behind which it was taken: another fence, another position. */
  fence: z.string(),
  /** Of the WAL of that cluster: all that was written before it has come from the other one. */
  lsn: z.string(),
});
export type Position = z.output<typeof Position>;

type Context = Pick<OperationContext, 'source' | 'sourceLedger'>;

export const positionKey = (database: string) => ({ kind: 'way-back', database });

export async function readPosition({ source, sourceLedger }: Context): Promise<Position | undefined> {
  const entry = await sourceLedger.find(positionKey(source.name));
  return entry && Position.parse(entry.before);
}

/** Those among notes of that ledger, by database. */
export const positionsOf = (notes: readonly LedgerEntry[]): ReadonlyMap<string, Position> =>
  new Map(
    notes
      .filter(({ kind }) => kind === positionKey('').kind)
      .map(({ database, before }) => [database, Position.parse(before)]),
  );

export const forgetPosition = ({ source, sourceLedger }: Context): Promise<void> =>
  sourceLedger.forget(positionKey(source.name));
