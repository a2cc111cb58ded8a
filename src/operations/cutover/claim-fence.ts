import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';
import { groupBy } from '../../engine/group-by.ts';
import { LedgerEntry, lockedNotes } from '../../postgres/catalog/ledger-notes.ts';
import { RoleOfDatabase, rolesOfDatabases } from '../../postgres/catalog/roles-of-databases.ts';
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
    const names = [...before.keys()];
    const [noted, named] = await maintenance.atOnce([lockedNotes(kind, names), rolesOfDatabases(names)]);
    const known = new Map(
      z
        .array(LedgerEntry)
        .parse(noted)
        .map((entry) => [entry.database, entry]),
    );
    const roles = groupBy(z.array(RoleOfDatabase).parse(named), ({ database }) => database);
    const notes = [...before].map(([name, each]) => {
      const oids = Object.fromEntries((roles.get(name) ?? []).map((role) => [role.name, role.oid]));
      return [name, claimed(context, { ...each, roles: oids }, known.get(name))] as const;
    });
    await sourceLedger.replaceAll(kind, new Map(notes));
  });
}

function claimed(context: ClaimContext, before: BeforeFence, entry: LedgerEntry | undefined): FenceNote {
  const { run } = context;
  const known = entry && FenceNote.partial().parse(entry.before);
  const now = Date.parse(before.fencedAt);
  // Also one that has just passed (`refuseLate`): whoever gives it back will, and nobody decides for what is late.
  const deadline = known?.run === run.id ? known.deadline : undefined;
  return {
    ...(entry ? BeforeFence.parse(entry.before) : before),
    run: run.id,
    deadline: deadline ?? new Date(now + outageMs(context)).toISOString(),
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
