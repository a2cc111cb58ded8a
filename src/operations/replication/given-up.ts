import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';
import type { Ledger } from '../../postgres/ledger.ts';
import { slotName } from '../../replication/names.ts';
import { dropSlots } from '../../replication/slots.ts';
import { pairOf } from './pair.ts';

/** In the ledger of the cluster that kept WAL for it: a database whose replication was given up, until it is copied anew. */
export const givenUpKey = (database: string) => ({ kind: 'given-up', database });

const GivenUp = z.object({ why: z.string(), at: z.string() });

/** Who waits for the other side while a disk fills up waits no longer than this, milliseconds. */
const OTHER_SIDE_MS = 10_000;

/**
 * Drops the slot of this database, so that its server keeps nothing for it any more, and the subscription that reads it, if that can be
 * done at once. A copy that is going on fails and says why; whoever starts it again copies it anew.
 * @returns whether the subscription is gone too
 * @see https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-REPLICATION
 */
export async function giveUpReplication(context: OperationContext, why: string): Promise<boolean> {
  const { engine, source, sourceCluster, sourceLedger } = context;
  const pair = pairOf(context);
  await sourceLedger.replace(givenUpKey(source.name), { why, at: new Date().toISOString() } satisfies z.input<
    typeof GivenUp
  >);
  const dropped = engine.dropSubscription(pair).then(
    () => true,
    () => false,
  );
  const gone = await Promise.race([dropped, sleep(OTHER_SIDE_MS, false, { ref: false })]);
  // What table copies have left behind is known only with the other side's help.
  if (gone) await engine.dropSlot(pair);
  else await dropSlots(sourceCluster.maintenance, [slotName(source.name)]);
  return gone;
}

const said = ({ why, at }: z.output<typeof GivenUp>): string =>
  `given up by the watchdog at ${at.slice(0, 16).replace('T', ' ')} UTC, because ${why}`;

/** Why a database was given up, as a part of a sentence. */
export async function givenUp(ledger: Ledger, database: string): Promise<string | undefined> {
  const note = GivenUp.safeParse((await ledger.find(givenUpKey(database)))?.before);
  return note.success ? said(note.data) : undefined;
}

/** The same of all databases of a ledger. */
export async function givenUpDatabases(ledger: Ledger): Promise<ReadonlyMap<string, string>> {
  const entries = await ledger.entries(givenUpKey('').kind);
  return new Map(
    entries.flatMap(({ database, before }) => {
      const note = GivenUp.safeParse(before);
      return note.success ? [[database, said(note.data)] as const] : [];
    }),
  );
}
