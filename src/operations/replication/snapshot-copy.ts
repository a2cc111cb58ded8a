import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';
import type { SlotState } from '../../replication/engine.ts';

const Copied = z.object({ lsn: z.string() });

/** The target's note that a database holds what the source held at `lsn`, where its slot begins. */
export const copiedKey = (database: string) => ({ kind: 'copied', database });

/** Where the slot begins from whose snapshot this database was copied, or undefined. */
async function copiedLsn({
  source,
  targetLedger,
}: Pick<OperationContext, 'source' | 'targetLedger'>): Promise<string | undefined> {
  const entry = await targetLedger.find(copiedKey(source.name));
  return entry && Copied.parse(entry.before).lsn;
}

/** The rows are there already, and this slot goes on exactly where they end. */
export async function continuesCopy(
  context: Pick<OperationContext, 'source' | 'targetLedger'>,
  slot: SlotState,
): Promise<boolean> {
  const { confirmedLsn } = slot;
  return confirmedLsn !== undefined && slot.lost === undefined && confirmedLsn === (await copiedLsn(context));
}
