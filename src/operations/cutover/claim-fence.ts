import type { OperationContext } from '../../engine/operation.ts';
import { LedgerEntry, lockedNote } from '../../postgres/catalog/ledger-notes.ts';
import { BeforeFence, FenceNote, fenceKey } from './fence.ts';

type ClaimContext = Pick<OperationContext, 'source' | 'sourceCluster' | 'sourceLedger' | 'settings' | 'run'>;

/**
 * Notes what is before the fence, whose it is and until when it may stand, before anything is changed. A fence that stands already
 * (its worker was killed, or the step is tried again) is taken over with what it has noted: from then on only this run can open.
 * @param before as it is now; its time is that of the source's clock
 */
export async function claimFence(context: ClaimContext, before: BeforeFence): Promise<FenceNote> {
  const { source, sourceCluster, sourceLedger, run } = context;
  const { maintenance } = sourceCluster;
  const key = fenceKey(source.name);
  if (!(await sourceLedger.exists())) await sourceLedger.prepare();
  return maintenance.transaction(async () => {
    const entry = await maintenance.maybe(LedgerEntry, lockedNote(key));
    const known = entry && FenceNote.partial().parse(entry.before);
    const now = Date.parse(before.fencedAt);
    const goesOn = known?.run === run.id && known.deadline !== undefined && Date.parse(known.deadline) > now;
    const note: FenceNote = {
      ...(entry ? BeforeFence.parse(entry.before) : before),
      run: run.id,
      deadline: goesOn ? known.deadline! : new Date(now + outageMs(context)).toISOString(),
      together: run.options['together'] === true,
      ...(run.again || (known?.run === run.id && known.again) ? { again: true } : {}),
    };
    await sourceLedger.replace(key, note);
    return note;
  });
}

/** How long nobody may be able to write to a database of this run, milliseconds. */
export const outageMs = ({ run, settings }: Pick<OperationContext, 'run' | 'settings'>): number => {
  const told = run.options['outage'];
  return typeof told === 'number' ? told : settings.deadlines.outage;
};
