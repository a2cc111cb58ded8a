import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import type { OperationContext } from '../../engine/operation.ts';
import type { BoundCluster } from '../../postgres/cluster.ts';
import type { LedgerEntry } from '../../postgres/catalog/ledger-notes.ts';
import type { Ledger } from '../../postgres/ledger.ts';

/** What the ledgers of both clusters keep of a database that was switched over: which of the two applications use now. */
export const Opened = z.object({
  /** System identifier of the cluster that applications use; in notes of earlier versions the new one. */
  on: z.string().optional(),
  /** The run that has decided it. */
  run: z.string().optional(),
  /** All times by the clock of the cluster that was left. */
  fencedAt: z.string(),
  openedAt: z.string(),
  /** Up to here that cluster's rows are on the one that was opened: all it ever acknowledged. */
  lsn: z.string(),
  outageMs: z.number(),
});
export type Opened = z.output<typeof Opened>;

export const openedKey = (database: string) => ({ kind: 'opened', database });

/** Whether this is the cluster that applications use. Asks it only where there is a note. */
export async function isOn({ on }: Opened, cluster: BoundCluster): Promise<boolean> {
  return on === undefined ? cluster.side === 'target' : on === (await cluster.facts()).systemIdentifier;
}

type TargetContext = Pick<OperationContext, 'source' | 'targetLedger' | 'targetCluster'>;

/** The note that a database is open on the target, or undefined. From then on nothing of ours may write there. */
export const openedDatabase = ({ source, targetLedger, targetCluster }: TargetContext): Promise<Opened | undefined> =>
  openNote(source.name, targetLedger, targetCluster);

/**
 * The note that a database is open on the source of this context: it was switched over to it. Undefined where applications have used
 * that cluster from the beginning.
 */
export const openedOnSource = ({
  source,
  sourceLedger,
  sourceCluster,
}: Pick<OperationContext, 'source' | 'sourceLedger' | 'sourceCluster'>): Promise<Opened | undefined> =>
  openNote(source.name, sourceLedger, sourceCluster);

/** Whether applications have left the source for the target: by the source's own note, which counts when the target is away. */
export async function hasLeftSource({
  source,
  sourceLedger,
  sourceCluster,
}: Pick<OperationContext, 'source' | 'sourceLedger' | 'sourceCluster'>): Promise<boolean> {
  const entry = await sourceLedger.find(openedKey(source.name));
  return entry !== undefined && leavesSource([entry], sourceCluster);
}

/** The same by the notes on the database in the ledger of that cluster. */
export async function leavesSource(notes: readonly LedgerEntry[], sourceCluster: BoundCluster): Promise<boolean> {
  const entry = notes.find(({ kind }) => kind === openedKey('').kind);
  return entry !== undefined && !(await isOn(Opened.parse(entry.before), sourceCluster));
}

async function openNote(database: string, ledger: Ledger, cluster: BoundCluster): Promise<Opened | undefined> {
  const entry = await ledger.find(openedKey(database));
  const note = entry && Opened.parse(entry.before);
  return note && (await isOn(note, cluster)) ? note : undefined;
}

/** By name, the databases that applications use on this cluster since they were switched over to it. */
export const openedDatabases = async (ledger: Ledger, cluster: BoundCluster): Promise<ReadonlyMap<string, Opened>> =>
  openedOf(await ledger.entries(openedKey('').kind), cluster);

/** The same by notes of its ledger that are known already, of whatever kind. */
export async function openedOf(
  notes: readonly LedgerEntry[],
  cluster: BoundCluster,
): Promise<ReadonlyMap<string, Opened>> {
  const open = new Map<string, Opened>();
  for (const { kind, database, before } of notes) {
    if (kind !== openedKey('').kind) continue;
    const note = Opened.parse(before);
    if (await isOn(note, cluster)) open.set(database, note);
  }
  return open;
}

/** @throws PgconvoyError where the database is open on the target. */
export async function refuseWhenOpened(context: TargetContext, what: string): Promise<void> {
  const opened = await openedDatabase(context);
  if (!opened) return;
  throw new PgconvoyError(
    `${context.targetCluster.side}, database "${context.source.name}": applications have been using it since ${opened.openedAt}, so ${what} is refused`,
    {
      hint: `Leave the database out (databases.exclude), or drop it on the ${context.targetCluster.side} if it really shall be copied anew.`,
    },
  );
}
