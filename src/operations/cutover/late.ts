import * as z from 'zod';
import { groupBy } from '../../engine/group-by.ts';
import type { OperationContext } from '../../engine/operation.ts';
import type { LedgerEntry } from '../../postgres/catalog/ledger-notes.ts';
import { sql } from '../../postgres/sql.ts';
import { PauseNote, pauseKey } from '../traffic/traffic.ts';
import { FenceNote, fenceKey } from './fence.ts';
import { giveBackEach } from './give-back.ts';
import { givenBackError } from './given-back.ts';
import { leavesSource } from './opened.ts';

/**
 * As the end of a sentence: why a database is given back that is late, or that opens together with such ones.
 * @param late the databases it opens together with that are; not asked where it is late itself
 */
export function whyLate(itself: boolean, late: readonly string[]): string {
  if (itself) return 'the deadline of its write outage has passed before everything was ready';
  const names = late.slice(0, 3).map((database) => `"${database}"`);
  return `it opens together with ${names.join(', ')}${late.length > 3 ? ' and others' : ''}, where the deadline of the write outage has passed`;
}

const Now = z.object({ now: z.string() });

/**
 * An outage of this run whose time is up gets no second one: its worker has died, or was held up, and the step comes again before any
 * keeper has looked. What the keeper would do is done here.
 * @param contexts of one run, about to be fenced
 * @throws DeadlineExceeded, with the databases given back, where one of them is late
 */
export async function refuseLate(contexts: readonly OperationContext[]): Promise<void> {
  const [first] = contexts;
  if (!first) return;
  const { sourceLedger, sourceCluster, run, source } = first;
  const names = contexts.map((context) => context.source.name);
  const { notes, rows } = await sourceLedger.entriesAnd(names, sql`select clock_timestamp()::text as now`);
  const now = Date.parse(Now.parse(rows[0]).now);
  const late: string[] = [];
  for (const [database, noted] of groupBy(notes, (note) => note.database)) {
    if (isLate(noted, run.id, now) && !(await leavesSource(noted, sourceCluster))) late.push(database);
  }
  const [one] = late;
  if (one === undefined) return;
  await giveBackEach(contexts, (database) => whyLate(late.includes(database), late));
  throw givenBackError(source.side, one, { run: run.id, why: whyLate(true, late) });
}

/** As the keeper sees it (`fencesAsNoted`, `pausesAsNoted`). */
function isLate(notes: readonly LedgerEntry[], run: string, now: number): boolean {
  const fence = notes.find(({ kind }) => kind === fenceKey('').kind);
  if (fence) {
    const note = FenceNote.partial().parse(fence.before);
    return note.run === run && note.deadline !== undefined && Date.parse(note.deadline) <= now;
  }
  return notes.some(({ kind, before, at }) => {
    if (kind !== pauseKey('', '').kind) return false;
    const pause = PauseNote.parse(before);
    return pause.run === run && pause.outage !== undefined && Date.parse(at) + pause.outage <= now;
  });
}
