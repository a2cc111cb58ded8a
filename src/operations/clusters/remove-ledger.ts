import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import type { Side } from '../../postgres/cluster.ts';
import { openedKey } from '../cutover/opened.ts';

/**
 * Kinds of notes that tell how to put something back, or who would be locked out without them. While one is left, the ledger stays.
 * The others only say what became the operator's: databases and roles we made, databases that are open on the target.
 */
const TO_PUT_BACK: ReadonlySet<string> = new Set([
  'fence',
  'replica-identity',
  'surrogate-key',
  'setting',
  'replication-secret',
  'extension',
  'quiet-log',
  'silent-trigger',
]);

interface Kept {
  readonly side: Side;
  readonly kind: string;
  readonly database: string;
  readonly object: string;
}

/**
 * The last thing uninstall does: schema pgconvoy goes from both maintenance databases. Where something is still to be put back
 * (the fence of a database that is open on the target), the ledger of that side stays and the output says for what.
 */
export const removeLedger = defineOperation({
  name: 'remove-ledger',
  title: 'Nothing of pgconvoy is left in the clusters',
  scope: 'cluster',
  input: z.strictObject({}),
  output: z.strictObject({
    kept: z.array(
      z.strictObject({
        side: z.enum(['source', 'target']),
        kind: z.string(),
        database: z.string(),
        object: z.string(),
      }),
    ),
  }),

  async check(context) {
    const kept = await toPutBack(context);
    const removable: Side[] = [];
    for (const [side, ledger] of ledgers(context)) {
      if ((await ledger.exists()) && !kept.some((entry) => entry.side === side)) removable.push(side);
    }
    return removable.length > 0 ? lacks(removable) : holds({ kept });
  },

  async apply(context, sides) {
    for (const [side, ledger] of ledgers(context)) if (sides.includes(side)) await ledger.drop();
  },
});

const ledgers = ({ sourceLedger, targetLedger }: OperationContext) =>
  [
    ['source', sourceLedger],
    ['target', targetLedger],
  ] as const;

async function toPutBack(context: OperationContext): Promise<Kept[]> {
  const kept: Kept[] = [];
  for (const [side, ledger] of ledgers(context)) {
    // Kind by kind: other notes are large.
    for (const each of TO_PUT_BACK) {
      for (const { kind, database, object } of await ledger.entries(each)) kept.push({ side, kind, database, object });
    }
  }
  // The note of the other side, where applications are, says why a fence is kept: both stay.
  const fences = kept.filter(({ kind }) => kind === 'fence');
  for (const [side, ledger] of ledgers(context)) {
    const fenced = new Set(fences.filter((fence) => fence.side !== side).map(({ database }) => database));
    for (const { kind, database, object } of await ledger.entries(openedKey('').kind)) {
      if (fenced.has(database)) kept.push({ side, kind, database, object });
    }
  }
  return kept;
}
