import type { OperationContext } from '../../engine/operation.ts';
import { errorText } from '../../errors.ts';
import { dropSnapshots } from '../comparison/snapshots.ts';
import type { SnapshotContext } from '../comparison/snapshots.ts';
import { silenceTriggers } from '../reverse/silent-triggers.ts';
import { dropDeferredTriggers } from '../schema/create-deferred-triggers.ts';
import { forgetHooks } from '../traffic/run-hooks-at.ts';
import { isPaused, releaseTraffic } from '../traffic/traffic.ts';
import type { TrafficContext } from '../traffic/traffic.ts';
import { oneByOne } from './each-of.ts';
import { lowerFence } from './fence.ts';
import type { FenceContext } from './fence.ts';
import { givenBackKey } from './given-back.ts';
import type { GivenBack } from './given-back.ts';
import { hasLeftSource } from './opened.ts';

type GiveBackContext = FenceContext & TrafficContext & SnapshotContext;

/**
 * The one way back before opening: the fence is down, and who waits in front of the database goes on. A database that was opened
 * meanwhile keeps its fence; who waits goes on to where it is open.
 * @param why where its run is not over by that: then the run does not fence again by itself
 * @param targetAway the target does not answer: it is not asked
 * @returns whether anything of an outage was left to be ended
 */
export async function giveBack(context: GiveBackContext, why?: string, targetAway = false): Promise<boolean> {
  const { source, sourceLedger, run } = context;
  const note = async () => {
    if (why !== undefined)
      await sourceLedger.replace(givenBackKey(source.name), { run: run.id, why } satisfies GivenBack);
  };
  await forgetHooks(context);
  const lowered = await lowerFence(context, async () => {
    if (!targetAway) await quieten(context);
    await note();
  });
  const waits = !lowered && (await isPaused(context)) && !(await hasLeftSource(context));
  if (waits) await note();
  await releaseTraffic(context);
  // The target may be away: then these end by themselves.
  if (lowered && !targetAway)
    await dropSnapshots(context).catch((error: unknown) =>
      context.log.warn({ reason: errorText(error) }, 'snapshots stay'),
    );
  return lowered || waits;
}

/**
 * The same for databases that were to be fenced together, one after the other: one that cannot be given back keeps no other one waiting.
 * @throws what the first of these has thrown, when all others are given back
 */
export async function giveBackEach(contexts: readonly (GiveBackContext & Pick<OperationContext, 'target'>)[]) {
  const failures: unknown[] = [];
  await oneByOne(contexts, (context) => giveBack(context).catch((error: unknown) => failures.push(error)));
  if (failures.length > 0) throw failures[0];
}

/**
 * Triggers that fire while rows are applied do nothing again, before the first row comes: they would do their work a second time. Where
 * the target does not answer, the application does not wait for it.
 */
async function quieten(context: GiveBackContext): Promise<void> {
  const { run, log } = context;
  if (await hasLeftSource(context)) return;
  try {
    // What is on the old cluster is its own: noted and put back. What is on the new one is made anew by the next cutover.
    if (run.options['back'] === true) await silenceTriggers(context);
    else await dropDeferredTriggers(context);
  } catch (error) {
    log.warn({ reason: errorText(error) }, 'triggers of the target that fire during replication stay');
  }
}
