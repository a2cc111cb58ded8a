import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import {
  LargeObjectId,
  largeObjectIds,
  LargeObjectScan,
  Moment,
  momentNow,
  removeLargeObjects,
  scanLargeObjects,
} from '../../postgres/catalog/large-objects.ts';
import { Found } from '../../postgres/catalog/ledger-notes.ts';
import type { Database } from '../../postgres/database.ts';
import { sql } from '../../postgres/sql.ts';
import { openedDatabase } from '../cutover/opened.ts';
import { policyOf, refuseUnreplicated } from '../unreplicated/policy.ts';
import { AT_ONCE, differencesOf, numbersOfBoth, pieces } from './differences.ts';
import { makeAlike, refuseOtherPages } from './make-alike.ts';
import { copiedAt, largeObjectsKey, noteCopied } from './noted-copy.ts';

/** As many changed objects are left to the outage. */
const FEW = 200;
const TICK_MS = 500;

const NOTHING = { objects: 0, bytes: 0 };

/**
 * Large objects are copied while rows stream, so that the outage has only those to copy that change afterwards: with their numbers,
 * owners, privileges and comments. Goes over both sides in order of the numbers and mends what differs, so a worker that dies loses
 * little. To be run again shortly before the fence: then only what has changed since is looked at.
 * @see https://www.postgresql.org/docs/current/largeobjects.html
 */
export const copyLargeObjects = defineOperation({
  name: 'copy-large-objects',
  title: 'Large objects are on the target, but for the latest changes',
  scope: 'database',
  queue: 'copy',
  input: z.strictObject({}),
  output: z.strictObject({ objects: z.number(), bytes: z.number() }),

  async check(context) {
    const { source, target } = context;
    const policy = policyOf(context, 'largeObjects');
    if (policy === 'leave') return holds(NOTHING);
    const [opened, here, there] = await Promise.all([
      openedDatabase(context),
      hasLargeObjects(source),
      hasLargeObjects(target),
    ]);
    if (opened) return holds(NOTHING);
    if (here && policy === 'block') refuseUnreplicated(context, 'largeObjects', 'large objects');
    if (!here && !there) return holds(NOTHING);
    const copied = await copiedAt(context);
    if (copied === undefined || !there || (await wasTarget(context))) return lacks([{ since: copied ?? 'never' }]);
    // Of transactions that had begun then and go on, nobody knows which rows were there already: copying again would not help.
    const { objects, bytes, changed } = await source.one(LargeObjectScan, scanLargeObjects({ moment: copied.next }));
    return changed.length > FEW ? lacks([{ since: copied.next, changed: changed.length }]) : holds({ objects, bytes });
  },

  async apply(context) {
    const { source, target, log } = context;
    await refuseOtherPages(context);
    const since = (await wasTarget(context)) || !(await hasLargeObjects(target)) ? undefined : await copiedAt(context);
    // Before the first look: what changes during it is changed since.
    const now = await source.one(Moment, momentNow());
    const { objects, bytes, changed } = await source.one(LargeObjectScan, scanLargeObjects(since ?? 'never'));
    log.info({ objects, bytes, changed: changed.length }, 'copying large objects');
    await using progress = telling(context, bytes);
    const mend = async (ids: readonly number[], of: number) => {
      await makeAlike(context, await differencesOf(context, ids), progress.moved);
      progress.passed(ids.length, of);
    };
    if (since === undefined) for await (const { all } of numbersOfBoth(context)) await mend(all, objects);
    else {
      for (const ids of pieces(changed)) await mend(ids, changed.length);
      for await (const { gone } of numbersOfBoth(context)) await mend(gone, changed.length);
    }
    await noteCopied(context, now);
  },

  /** Off the target again, as far as the database there is of our making. */
  async undo(context: OperationContext) {
    const { target, targetLedger, source } = context;
    const key = largeObjectsKey(source.name);
    if ((await openedDatabase(context)) || !(await targetLedger.find(key))) return false;
    if (await targetLedger.find({ kind: 'database', database: source.name })) await removeAll(target);
    await targetLedger.forget(key);
    return true;
  },
});

export async function hasLargeObjects(database: Database): Promise<boolean> {
  return (await database.one(Found, sql`select exists (select from pg_largeobject_metadata) as found`)).found;
}

/** The applications have used it since: what it noted as a target says nothing any more. */
async function wasTarget({ source, sourceLedger }: OperationContext): Promise<boolean> {
  return (await sourceLedger.find(largeObjectsKey(source.name))) !== undefined;
}

async function removeAll(database: Database): Promise<void> {
  for (;;) {
    const ids = (await database.many(LargeObjectId, largeObjectIds(0, AT_ONCE))).map(({ id }) => id);
    if (ids.length === 0) return;
    await database.run(removeLargeObjects(ids));
  }
}

/** Says now and then how far the copy is, by what was sent, or by how many objects it has gone past where nothing has to be sent. */
function telling({ progress }: OperationContext, total: number) {
  let bytes = 0;
  let objects = '';
  const tick = () => progress({ done: Math.min(bytes, total), total, unit: 'bytes', note: `large objects${objects}` });
  const timer = setInterval(tick, TICK_MS);
  let passed = 0;
  return {
    moved(more: number) {
      bytes += more;
    },
    passed(more: number, of: number) {
      passed += more;
      objects = `: ${Math.min(passed, of)} of ${of}`;
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      tick();
    },
  };
}
