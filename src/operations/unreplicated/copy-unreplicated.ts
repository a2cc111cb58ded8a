import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { AnyOperation, OperationContext } from '../../engine/operation.ts';
import { Unreplicated, unreplicatedKinds } from '../../postgres/catalog/unreplicated.ts';
import { openedDatabase } from '../cutover/opened.ts';
import { cutoverPoint, isRehearsal } from '../cutover/rehearsal.ts';
import { copyChangedLargeObjects } from '../large-objects/copy-changed-large-objects.ts';
import { refreshMaterializedViews } from '../views/refresh-materialized-views.ts';
import { copyExtensionRows } from './copy-extension-rows.ts';
import { copyUnloggedTables } from './copy-unlogged-tables.ts';

/** Views last: they may read the others. */
const PARTS: readonly { readonly kind: keyof Unreplicated; readonly part: AnyOperation }[] = [
  { kind: 'extensionRows', part: copyExtensionRows },
  { kind: 'unloggedTables', part: copyUnloggedTables },
  { kind: 'largeObjects', part: copyChangedLargeObjects },
  { kind: 'materializedViews', part: refreshMaterializedViews },
];

const Observed = z.strictObject({
  extensionTables: z.int().default(0),
  extensionRows: z.number().default(0),
  unloggedTables: z.int().default(0),
  unloggedRows: z.number().default(0),
  largeObjects: z.number().default(0),
  largeObjectBytes: z.number().default(0),
  /** Materialized views. */
  views: z.int().default(0),
});

interface Missing {
  readonly part: string;
  readonly missing: readonly unknown[];
}

/**
 * What replication does not carry is carried over behind the fence, as the configuration says of each kind (notReplicated): users' rows in
 * tables of extensions, unlogged tables, large objects that have changed since their copy, materialized views. Each kind is an operation of
 * its own; they share one job, and most databases one look, because inside the outage each costs all of them time.
 */
export const copyUnreplicated = defineOperation({
  name: 'copy-unreplicated',
  title: 'What replication does not carry is on the target',
  scope: 'database',
  queue: 'cutover',
  input: z.strictObject({}),
  output: Observed,

  async check(context) {
    const { source, target } = context;
    const [opened, here, there] = await Promise.all([
      openedDatabase(context),
      source.one(Unreplicated, unreplicatedKinds()),
      target.one(Unreplicated, unreplicatedKinds()),
    ]);
    if (opened) return holds(Observed.parse({}));
    const observed: Record<string, unknown> = {};
    const missing: Missing[] = [];
    for (const { kind, part } of PARTS) {
      if (!here[kind] && !there[kind]) continue;
      const verdict = await part.check(context);
      if (verdict.holds) Object.assign(observed, verdict.output);
      else missing.push({ part: part.name, missing: verdict.missing });
    }
    // A rehearsal does it once: the source goes on changing meanwhile.
    if (missing.length === 0 || (isRehearsal(context) && (await isRehearsed(context)))) {
      return holds(Observed.parse(observed));
    }
    return lacks(missing);
  },

  async apply(context, all) {
    for (const { part } of PARTS) {
      const found = all.find((each) => each.part === part.name);
      if (!found) continue;
      context.signal.throwIfAborted();
      const began = Date.now();
      await part.apply?.(context, found.missing);
      context.log.info({ part: part.name, milliseconds: Date.now() - began }, 'carried over');
    }
    if (isRehearsal(context)) await noteRehearsed(context);
  },

  changes(all, run) {
    const changed = all.map(({ part, missing }) => {
      const known = PARTS.find((each) => each.part.name === part)!.part;
      return known.changes?.(missing, run) ?? { [part]: missing.length };
    });
    return Object.assign({}, ...changed) as unknown;
  },

  async undo(context: OperationContext) {
    let undone = false;
    for (const { part } of PARTS.toReversed()) undone = ((await part.undo?.(context)) ?? false) || undone;
    await context.targetLedger.forget(rehearsedKey(context.source.name));
    return undone;
  },
});

/** For which position of the source it was rehearsed. */
const Rehearsed = z.object({ lsn: z.string() });
const rehearsedKey = (database: string) => ({ kind: 'unreplicated-rehearsed', database });

async function isRehearsed(context: OperationContext): Promise<boolean> {
  const entry = await context.targetLedger.find(rehearsedKey(context.source.name));
  return entry !== undefined && Rehearsed.parse(entry.before).lsn === (await cutoverPoint(context));
}

async function noteRehearsed(context: OperationContext): Promise<void> {
  const lsn = (await cutoverPoint(context)) ?? '';
  await context.targetLedger.replace(rehearsedKey(context.source.name), { lsn } satisfies z.output<typeof Rehearsed>);
}
