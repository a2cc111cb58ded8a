import type { OperationContext } from '../../engine/operation.ts';
import { LedgerEntry, lockedNotes } from '../../postgres/catalog/ledger-notes.ts';
import { BeforeFence, FenceNote, fenceKey } from './fence.ts';

type ClaimContext = Pick<OperationContext, 'sourceCluster' | 'sourceLedger' | 'settings' | 'run'>;

/**
 * Notes what is before the fences, whose they are and until when they may stand, before anything is changed. A fence that stands already
 * (its worker was killed, or the step is tried again) is taken over with what it has noted: from then on only this run can open.
 * @param before by database, as it is now; its time is that of the source's clock
 */
export async function claimFences(context: ClaimContext, before: ReadonlyMap<string, BeforeFence>): Promise<void> {
  const { maintenance } = context.sourceCluster;
  const { sourceLedger } = context;
  const { kind } = fenceKey('');
  if (!(await sourceLedger.exists())) await sourceLedger.prepare();
  await maintenance.transaction(async () => {
    const noted = await maintenance.many(LedgerEntry, lockedNotes(kind, [...before.keys()]));
    const known = new Map(noted.map((entry) => [entry.database, entry]));
    const notes = [...before].map(([name, each]) => [name, claimed(context, each, known.get(name))] as const);
    await sourceLedger.replaceAll(kind, new Map(notes));
  });
}

function claimed(context: ClaimContext, before: BeforeFence, entry: LedgerEntry | undefined): FenceNote {
  const { run } = context;
  const known = entry && FenceNote.partial().parse(entry.before);
  const now = Date.parse(before.fencedAt);
  const goesOn = known?.run === run.id && known.deadline !== undefined && Date.parse(known.deadline) > now;
  return {
    ...(entry ? BeforeFence.parse(entry.before) : before),
    run: run.id,
    deadline: goesOn ? known.deadline! : new Date(now + outageMs(context)).toISOString(),
    together: run.options['together'] === true,
    ...(run.again || (known?.run === run.id && known.again) ? { again: true } : {}),
  };
}

/** What was done before these fences were given back has been done once more: from here on it counts. */
export async function countAgain(
  {
    sourceCluster: { maintenance },
    sourceLedger,
    run,
  }: Pick<ClaimContext, 'sourceCluster' | 'sourceLedger'> & {
    readonly run: string;
  },
  databases: readonly string[],
): Promise<void> {
  const { kind } = fenceKey('');
  await maintenance.transaction(async () => {
    const noted = await maintenance.many(LedgerEntry, lockedNotes(kind, databases));
    const notes = noted.map(({ database, before }) => [database, FenceNote.partial().parse(before)] as const);
    const again = notes.filter(([, note]) => note.again && note.run === run);
    await sourceLedger.replaceAll(kind, new Map(again.map(([name, { again: _again, ...note }]) => [name, note])));
  });
}

/** How long nobody may be able to write to a database of this run, milliseconds. */
export const outageMs = ({ run, settings }: Pick<OperationContext, 'run' | 'settings'>): number => {
  const told = run.options['outage'];
  return typeof told === 'number' ? told : settings.deadlines.outage;
};
