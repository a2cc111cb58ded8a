import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { LargeObjectScan, scanLargeObjects } from '../../postgres/catalog/large-objects.ts';
import { openedDatabase } from '../cutover/opened.ts';
import { policyOf, refuseUnreplicated } from '../unreplicated/policy.ts';
import { hasLargeObjects } from './copy-large-objects.ts';
import { differencesOf, numbersOfBoth, pieces } from './differences.ts';
import { makeAlike, refuseOtherPages } from './make-alike.ts';
import { copiedAt } from './noted-copy.ts';

const NOTHING = { largeObjects: 0, largeObjectBytes: 0 };

interface Missing {
  readonly objects: number;
  /** Left out of messages: they may be many. */
  readonly ids: () => readonly number[];
}

/**
 * What has changed in large objects since they were copied (copy-large-objects), behind the fence: the source's rows tell by the number
 * of their transaction which ones were touched; those are compared by content, owner, privileges and comment. In the end number, pages
 * and bytes of all are equal on both sides; where they are not, every object is compared. What it has copied is taken back with the
 * first copy.
 */
export const copyChangedLargeObjects = defineOperation({
  name: 'copy-changed-large-objects',
  title: 'Large objects are those of the source',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: z.strictObject({ largeObjects: z.number(), largeObjectBytes: z.number() }),

  async check(context) {
    const policy = policyOf(context, 'largeObjects');
    if (policy === 'leave' || (await openedDatabase(context))) return holds(NOTHING);
    if (policy === 'block') {
      if (await hasLargeObjects(context.source)) refuseUnreplicated(context, 'largeObjects', 'large objects');
      return holds(NOTHING);
    }
    const { scan, ids } = await differingNumbers(context);
    if (ids.length > 0) return lacks<Missing>([{ objects: ids.length, ids: () => ids }]);
    return holds({ largeObjects: scan.objects, largeObjectBytes: scan.bytes });
  },

  async apply(context, [missing]: readonly Missing[]) {
    const { progress } = context;
    await refuseOtherPages(context);
    const ids = missing?.ids() ?? [];
    let done = 0;
    for (const some of pieces(ids)) {
      progress({ done, total: ids.length, unit: 'objects', note: 'large objects that have changed' });
      await makeAlike(context, await differencesOf(context, some));
      done += some.length;
    }
  },

  changes: (missing: readonly Missing[]) => ({ largeObjects: missing.reduce((sum, { objects }) => sum + objects, 0) }),
});

/** Looked through once in a job: nobody writes there any more. */
const scans = new WeakMap<OperationContext, Promise<LargeObjectScan>>();

async function differingNumbers(context: OperationContext) {
  const { target } = context;
  const known = scans.get(context) ?? scanSource(context);
  scans.set(context, known);
  const [scan, there] = await Promise.all([known, target.one(LargeObjectScan, scanLargeObjects('never'))]);
  const ids: number[] = [];
  let made = 0;
  for (const some of pieces(scan.changed)) {
    for (const { id, wanted, present } of await differencesOf(context, some)) {
      ids.push(id);
      made += Number(wanted !== undefined) - Number(present !== undefined);
    }
  }
  if (there.objects + made !== scan.objects) {
    for await (const { gone } of numbersOfBoth(context)) ids.push(...gone);
  }
  if (ids.length === 0 && !sameTotals(scan, there)) {
    // Somebody has written on the target, or past the rows' numbers.
    for await (const { all } of numbersOfBoth(context)) {
      ids.push(...(await differencesOf(context, all)).map(({ id }) => id));
    }
  }
  return { scan, ids: [...new Set(ids)] };
}

async function scanSource(context: OperationContext): Promise<LargeObjectScan> {
  const moment = await copiedAt(context);
  return context.source.one(LargeObjectScan, scanLargeObjects(moment ?? 'ever'));
}

const sameTotals = (one: LargeObjectScan, other: LargeObjectScan): boolean =>
  one.objects === other.objects &&
  one.comments === other.comments &&
  one.pages === other.pages &&
  one.bytes === other.bytes;
