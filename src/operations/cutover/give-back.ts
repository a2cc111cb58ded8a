import { setTimeout as sleep } from 'node:timers/promises';
import type { OperationContext } from '../../engine/operation.ts';
import { errorText } from '../../errors.ts';
import { dropSnapshots } from '../comparison/snapshots.ts';
import type { SnapshotContext } from '../comparison/snapshots.ts';
import type { Cluster } from '../../postgres/cluster.ts';
import { sql } from '../../postgres/sql.ts';
import { silenceTriggers } from '../reverse/silent-triggers.ts';
import { dropDeferredTriggers, wantsDeferredTriggers } from '../schema/create-deferred-triggers.ts';
import { forgetHooks } from '../traffic/run-hooks-at.ts';
import { isPaused, releaseTraffic } from '../traffic/traffic.ts';
import type { TrafficContext } from '../traffic/traffic.ts';
import { oneByOne } from './each-of.ts';
import { fenceKey, lowerFence } from './fence.ts';
import type { FenceContext } from './fence.ts';
import { givenBackKey } from './given-back.ts';
import type { GivenBack } from './given-back.ts';
import { hasLeftSource } from './opened.ts';

type GiveBackContext = FenceContext & TrafficContext & SnapshotContext;

/**
 * The one way back before opening: the fence is down, and who waits in front of the database goes on. A database that was opened
 * meanwhile keeps its fence; who waits goes on to where it is open.
 * @param why where its run is not over by that: then the run does not fence again by itself
 * @param answers whether the target does, where that is not known: it is waited for only where something of it is to be asked, and who
 * calls lets go of snapshots (`letGo`)
 * @returns whether anything of an outage was left to be ended
 */
export async function giveBack(
  context: GiveBackContext,
  why?: string,
  answers?: () => Promise<boolean>,
): Promise<boolean> {
  const { source, sourceLedger, run } = context;
  const note = async () => {
    if (why !== undefined)
      await sourceLedger.replace(givenBackKey(source.name), { run: run.id, why } satisfies GivenBack);
  };
  await forgetHooks(context);
  const quietens = !answers || ((await mayFire(context)) && (await answers()));
  const lowered = await lowerFence(context, async () => {
    if (quietens) await quieten(context);
    await note();
  });
  const waits = !lowered && (await isPaused(context)) && !(await hasLeftSource(context));
  if (waits) await note();
  await releaseTraffic(context);
  if (lowered && !answers) await letGo(context);
  return lowered || waits;
}

/** How long the cluster that would have been opened may take to answer, milliseconds. */
const ANSWER_MS = 5_000;

/**
 * Whether that cluster answers, asked in a session of its own: one that has vanished would hold up each of many databases for its own time.
 */
export async function answersInTime(cluster: Cluster, signal: AbortSignal): Promise<boolean> {
  const bound = cluster.bind({ applicationName: 'pgconvoy/give-back', signal });
  const asked = bound.maintenance.run(sql`select`).then(
    () => true,
    () => false,
  );
  const answered = await Promise.race([asked, sleep(ANSWER_MS, false, { ref: false })]);
  void asked.then(() => bound.close());
  return answered;
}

/**
 * The same for databases that were to be fenced together, one after the other: one that cannot be given back keeps no other one waiting.
 * @param contexts of one run
 * @throws what the first of these has thrown, when all others are given back
 */
export async function giveBackEach(
  contexts: readonly (GiveBackContext & Pick<OperationContext, 'target'>)[],
  why: (database: string) => string | undefined = () => undefined,
) {
  const [first] = contexts;
  if (!first) return;
  const answering = answersInTime(first.targetCluster.cluster, first.signal);
  const failures: unknown[] = [];
  const given: GiveBackContext[] = [];
  await oneByOne(contexts, (context) =>
    giveBack(context, why(context.source.name), () => answering).then(
      (lowered) => lowered && given.push(context),
      (error: unknown) => failures.push(error),
    ),
  );
  if (given.length > 0 && (await answering)) for (const context of given) await letGo(context);
  if (failures.length > 0) throw failures[0];
}

/**
 * Of what was kept readable for a comparison; where the target is away, that ends by itself. Who has fenced the database anew meanwhile keeps
 * its own, and lets go of older ones itself.
 */
export async function letGo(context: GiveBackContext): Promise<void> {
  const { source, sourceLedger, log } = context;
  try {
    if (!(await sourceLedger.find(fenceKey(source.name)))) await dropSnapshots(context);
  } catch (error) {
    log.warn({ database: source.name, reason: errorText(error) }, 'snapshots stay');
  }
}

/** Whether the target may have triggers that fire while rows are applied: on the way forth that is known without asking it. */
const mayFire = async (context: GiveBackContext): Promise<boolean> =>
  context.run.options['back'] === true || (await wantsDeferredTriggers(context).catch(() => true));

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
