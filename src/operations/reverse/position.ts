import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';

/** Where the way back begins, as the ledger of the cluster it leaves from keeps it. */
const Position = z.object({
  /** The LSN of the fence behind which it was taken: another fence, another position. */
  fence: z.string(),
  /** Of the WAL of that cluster: all that was written before it has come from the other one. */
  lsn: z.string(),
});
export type Position = z.output<typeof Position>;

type Context = Pick<OperationContext, 'source' | 'sourceLedger'>;

const key = ({ source }: Context) => ({ kind: 'way-back', database: source.name });

export async function readPosition(context: Context): Promise<Position | undefined> {
  const entry = await context.sourceLedger.find(key(context));
  return entry && Position.parse(entry.before);
}

export const notePosition = (context: Context, position: Position): Promise<void> =>
  context.sourceLedger.replace(key(context), position);

export const forgetPosition = (context: Context): Promise<void> => context.sourceLedger.forget(key(context));
