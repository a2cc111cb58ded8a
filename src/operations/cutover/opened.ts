import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';

/** What the ledgers of both clusters keep of a database that applications use on the target now. */
export const Opened = z.object({
  /** All times by the source's clock. */
  fencedAt: z.string(),
  openedAt: z.string(),
  /** Up to here the target has everything the source ever acknowledged. */
  lsn: z.string(),
  outageMs: z.number(),
});
export type Opened = z.output<typeof Opened>;

export const openedKey = (database: string) => ({ kind: 'opened', database });

/** The note that a database is open on the target, or undefined. From then on nothing of ours may write there. */
export async function openedDatabase({
  source,
  targetLedger,
}: Pick<OperationContext, 'source' | 'targetLedger'>): Promise<Opened | undefined> {
  const entry = await targetLedger.find(openedKey(source.name));
  return entry && Opened.parse(entry.before);
}

/** @throws PgconvoyError where the database is open on the target. */
export async function refuseWhenOpened(
  context: Pick<OperationContext, 'source' | 'targetLedger'>,
  what: string,
): Promise<void> {
  const opened = await openedDatabase(context);
  if (!opened) return;
  throw new PgconvoyError(
    `target, database "${context.source.name}": applications have been using it since ${opened.openedAt}, so ${what} is refused`,
    { hint: 'Leave the database out (databases.exclude), or drop it on the target if it really shall be copied anew.' },
  );
}
