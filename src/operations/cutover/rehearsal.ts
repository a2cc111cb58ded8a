import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';
import { lookAtFence } from './fence.ts';

/** What the target's ledger keeps while a rehearsal holds a database still. */
export const HeldNote = z.object({
  /** The run that rehearses. */
  run: z.string(),
  /** Of the source's WAL: the target has everything up to here, and something beyond. Null: it is not held yet. */
  lsn: z.string().nullable(),
});
export type HeldNote = z.output<typeof HeldNote>;

/** In the target's ledger alone: what opens a target looks for a fence, and that is a note in the source's. */
export const heldKey = (database: string) => ({ kind: 'rehearsal', database });

export const isRehearsal = ({ run }: Pick<OperationContext, 'run'>): boolean => run.options['rehearsal'] === true;

/** The note that a rehearsal holds this database, or undefined. */
export async function heldTarget({
  target,
  targetLedger,
}: Pick<OperationContext, 'target' | 'targetLedger'>): Promise<HeldNote | undefined> {
  const entry = await targetLedger.find(heldKey(target.name));
  return entry && HeldNote.parse(entry.before);
}

/**
 * The position of the source's WAL that steps inside the outage work behind: where the fence stands its LSN, in a rehearsal the one at
 * which the target is held; undefined where neither is. Whatever opens a target asks `lookAtFence` instead.
 */
export async function cutoverPoint(context: OperationContext): Promise<string | undefined> {
  if (isRehearsal(context)) return (await heldTarget(context))?.lsn ?? undefined;
  return (await lookAtFence(context)).fence?.lsn;
}
