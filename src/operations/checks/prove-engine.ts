import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { PgconvoyError, UnreachableError } from '../../errors.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import { offers } from '../../postgres/versions.ts';
import { openedDatabases } from '../cutover/opened.ts';
import { swapped } from '../replication/way-back.ts';
import { forgetProof, noteProof, provenBefore } from './canary/proof-note.ts';
import { ROAD, WAY_BACK } from './canary/road.ts';
import type { RoadStep } from './canary/road.ts';
import { canaryContext, dropScratch } from './canary/scratch-databases.ts';
import type { Canary, Left } from './canary/scratch-databases.ts';
import { dropScratchRole, lendRole, lendRoleBack } from './canary/scratch-role.ts';
import { sourceSettings } from './clusters/source-settings.ts';
import { findingsIn } from './concern.ts';
import type { CheckFinding, FindingCode } from './findings.ts';
import { inWords, ofWayBack } from './other-direction.ts';

/**
 * The canary: a scratch database is made on both sides, replicated end to end by the methods that real databases go by, compared
 * and taken away again. Where rows shall travel back after a cutover (`cutover.reverse`), so do those of the scratch database. Changes both servers while it looks, and puts everything back; what a killed one has left is
 * taken away by the next one, and by undo.
 * @see https://www.postgresql.org/docs/current/logical-replication.html
 */
export const proveEngine = defineOperation({
  name: 'prove-engine',
  title: 'The engine carries a scratch database from the source to the target',
  scope: 'cluster',
  exclusive: ({ run }) => !run.options['noCanary'],
  input: z.strictObject({
    /** Notes the proof in the ledger, and takes one of the last hour as good. Else nothing of it stays. */
    remember: z.boolean().default(false),
  }),
  output: z.strictObject({
    engine: z.string(),
    proven: z.enum(['now', 'before', 'not-needed', 'not-asked']),
    /** Of a proof of now, where rows shall travel back. `not-tried`: setup has made the replication role, and a look changes nothing. */
    wayBack: z.enum(['now', 'not-tried']).optional(),
  }),

  async check(context) {
    const { engine, run } = context;
    if (run.options['noCanary']) return holds({ engine: engine.name, proven: 'not-asked' as const });
    try {
      return await look(context);
    } catch (error) {
      context.signal.throwIfAborted();
      if (!(error instanceof DatabaseError) || error.disposition !== 'give-up') throw error;
      return lacks([refused(context, error)]);
    }
  },

  async undo(context: OperationContext) {
    const { changed, left } = await takeAway(context);
    for (const { side, database, reason } of left)
      context.log.warn({ side, database, reason }, 'a scratch database stays');
    const forgotten = await forgetProof(context);
    return changed || forgotten;
  },
});

interface Remembering {
  readonly remember: boolean;
}

async function look(context: OperationContext<Remembering>) {
  const { engine, input } = context;
  const { left } = await takeAway(context);
  if (input.remember && (await everythingOpened(context)))
    return holds({ engine: engine.name, proven: 'not-needed' as const });
  if (input.remember && (await provenBefore(context))) return holds({ engine: engine.name, proven: 'before' as const });
  const { found, wayBack } = left.every(({ usable }) => usable)
    ? await prove(context)
    : { found: left.map(inTheWay), wayBack: undefined };
  if (input.remember && !found.some(({ code }) => code !== 'canary-left')) await noteProof(context);
  await Promise.all([context.sourceLedger.dropIfEmpty(), context.targetLedger.dropIfEmpty()]);
  if (found.length > 0) return lacks(found);
  return holds({ engine: engine.name, proven: 'now' as const, ...(wayBack ? { wayBack } : {}) });
}

/** From the cutover of the last database on, no row travels any more. */
async function everythingOpened({ targetLedger, targetCluster, run }: OperationContext): Promise<boolean> {
  const opened = await openedDatabases(targetLedger, targetCluster);
  return run.databases.length > 0 && run.databases.every((database) => opened.has(database));
}

async function takeAway(context: OperationContext): Promise<{ readonly changed: boolean; readonly left: Left[] }> {
  const { dropped, left } = await dropScratch(canaryContext(context));
  const role = await dropScratchRole(context);
  return { changed: dropped || role, left };
}

interface Proof {
  readonly found: CheckFinding[];
  readonly wayBack?: 'now' | 'not-tried' | undefined;
}

async function prove(context: OperationContext): Promise<Proof> {
  if (!(await lendRole(context))) return { found: [roleDiffers(context)] };
  let failure: CheckFinding | undefined;
  let wayBack: Proof['wayBack'];
  try {
    wayBack = await triedBack(context);
    failure = await walk(context, wayBack === 'now' ? [...ROAD, ...WAY_BACK] : ROAD);
  } catch (error) {
    // What is left now is taken away by the next canary.
    await takeAway(context).catch(() => {});
    throw error;
  }
  const { left } = await takeAway(context);
  return { found: [...(failure ? [failure] : []), ...left.map(staysBehind)], wayBack };
}

/** A source that knows no origins has no way back, which is told elsewhere. */
async function triedBack(context: OperationContext): Promise<Proof['wayBack']> {
  if (!context.settings.cutover.reverse) return undefined;
  if (!offers((await context.sourceCluster.facts()).major, 'replicationOrigins')) return undefined;
  return (await lendRoleBack(context)) ? 'now' : 'not-tried';
}

/** Returns what went wrong; a server that went away is no verdict on the engine. */
async function walk(context: OperationContext, road: readonly RoadStep[]): Promise<CheckFinding | undefined> {
  const forth = canaryContext(context);
  for (const [done, step] of road.entries()) {
    context.signal.throwIfAborted();
    context.progress({ done, total: road.length, note: step.title });
    const canary = step.back ? swapped(forth) : forth;
    try {
      await step.run(canary);
    } catch (error) {
      context.signal.throwIfAborted();
      const ourOwn = error instanceof UnreachableError && !TARGET_SAYS.test(error.message);
      if (!(error instanceof PgconvoyError) || ourOwn) throw error;
      const finding = await failed(canary, step, error);
      return step.back ? ofWayBack(finding) : finding;
    }
  }
  return undefined;
}

/** What CREATE SUBSCRIPTION says where the target cannot connect to the source. */
const TARGET_SAYS = /could not connect to the publisher|server cannot reach the (source|target)/;

async function failed(canary: Canary, { title, side }: RoadStep, error: PgconvoyError): Promise<CheckFinding> {
  const { engine, source, target, settings } = canary;
  const found = { side, object: title };
  if (/pg_hba\.conf/.test(error.message)) {
    return {
      ...found,
      code: 'engine-unproven',
      severity: 'warning',
      message: `The ${engine.name} engine could not be tried, because pg_hba.conf of the ${source.side} does not let the ${target.side} into the scratch database: ${error.message}`,
      remedy: `In pg_hba.conf of the ${source.side} let the role ${settings.replication.role} into the database ${source.name} too, then: SELECT pg_reload_conf(); (whether it gets into yours is checked apart)`,
    };
  }
  return {
    ...found,
    code: 'engine-fails',
    severity: 'block',
    message: `The ${engine.name} engine was tried with the scratch database "${source.name}" and failed at ${title}: ${error.message}`,
    remedy: (await remedyFor(canary, error)) ?? error.hint,
  };
}

/** Settings of the source that the server names in its own words only, with the finding that has the lines for them. */
const SETTINGS: readonly (readonly [words: RegExp, code: FindingCode])[] = [
  [/output plugin/, 'output-plugin'],
  [/wal_level/, 'wal-level'],
];

async function remedyFor(canary: Canary, { message }: PgconvoyError): Promise<string | undefined> {
  const setting = SETTINGS.find(([words]) => words.test(message))?.[1];
  if (setting === undefined) return undefined;
  const remedy = findingsIn(await sourceSettings.look(canary)).find(({ code }) => code === setting)?.remedy;
  return canary.source.side === 'source' ? remedy : remedy && inWords(remedy);
}

/** A privilege is missing, usually: without it nothing can be tried. */
const refused = ({ engine }: OperationContext, error: DatabaseError): CheckFinding => ({
  code: 'engine-unproven',
  severity: 'block',
  side: error.message.startsWith('target') ? 'target' : 'source',
  message: `The ${engine.name} engine could not be tried: ${error.message}`,
  remedy: error.hint,
});

const roleDiffers = ({ engine, settings }: OperationContext): CheckFinding => ({
  code: 'engine-unproven',
  severity: 'warning',
  side: 'source',
  object: settings.replication.role,
  message: `The ${engine.name} engine was not tried: the replication role ${settings.replication.role} and the password that the target's ledger keeps for it do not fit, or its attributes were changed.`,
  remedy: '`pgconvoy setup` puts the role right; then run `pgconvoy check` again.',
});

const inTheWay = ({ side, database, reason }: Left): CheckFinding => ({
  code: 'engine-unproven',
  severity: 'warning',
  side,
  object: database,
  message: `The engine was not tried: the scratch database "${database}" of an earlier time is still on the ${side} and cannot be used: ${reason}`,
  remedy: `On the ${side}, perhaps after a restart: DROP DATABASE "${database}"; then check again.`,
});

const staysBehind = ({ side, database, reason }: Left): CheckFinding => ({
  code: 'canary-left',
  severity: 'warning',
  side,
  object: database,
  message: `The scratch database "${database}" stays on the ${side}, empty: ${reason}`,
  remedy: `Once pglogical is out of shared_preload_libraries of the ${side}: DROP DATABASE "${database}";`,
});
