import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { errorText } from '../errors.ts';
import type { Logger } from '../log.ts';
import { countAgain } from '../operations/cutover/claim-fence.ts';
import { giveBack } from '../operations/cutover/give-back.ts';
import {
  FenceAsNoted,
  GivenBackAsNoted,
  PauseAsNoted,
  fencesAsNoted,
  forgetGivenBack,
  givenBackAsNoted,
  pausesAsNoted,
} from '../postgres/catalog/agreement.ts';
import type { BoundCluster, Side } from '../postgres/cluster.ts';
import { Ledger } from '../postgres/ledger.ts';
import { sql } from '../postgres/sql.ts';
import { openContext } from './context.ts';
import type { Clusters } from './context.ts';
import { engineOf } from './engine.ts';

/** A server that is away is not waited for longer, milliseconds. */
export const MOST_MS = 15_000;
/** How long the cluster that would have been opened may take to answer, milliseconds. */
const ANSWER_MS = 5_000;
/** Databases given back at the same time: each costs a session or two. */
const AT_ONCE = 8;

/** A database that nobody can write to, as its notes say. */
export interface Outage {
  readonly database: string;
  readonly run: string | null;
  /** It opens together with the others of its run. */
  readonly together: boolean;
  readonly late: boolean;
  /** It belongs to the other cluster, or is about to. */
  readonly decided: boolean;
  /** The steps before the one that is next count for nothing: it was given back before in this run. */
  readonly again: boolean;
}

export interface Outages {
  readonly outages: readonly Outage[];
  /** Whose run is not over. */
  readonly givenBack: readonly GivenBackAsNoted[];
}

/** Outages of one direction: of databases that leave this side. */
export function readOutages(clusters: Clusters, side: Side, signal: AbortSignal): Promise<Outages> {
  return onLedger(clusters, side, signal, { outages: [], givenBack: [] }, async (cluster) => {
    const { systemIdentifier } = await cluster.facts();
    const [fences, pauses, givenBack] = await cluster.maintenance.atOnce([
      fencesAsNoted(systemIdentifier),
      pausesAsNoted(systemIdentifier),
      givenBackAsNoted(),
    ]);
    return {
      outages: [
        ...z.array(FenceAsNoted).parse(fences),
        ...z
          .array(PauseAsNoted)
          .parse(pauses)
          .map((pause) => ({ ...pause, again: false })),
      ],
      givenBack: z.array(GivenBackAsNoted).parse(givenBack),
    };
  });
}

/** Somebody asks for it: the run may fence these databases again. */
export function askAgain(
  clusters: Clusters,
  side: Side,
  signal: AbortSignal,
  run: string,
  databases: readonly string[],
): Promise<void> {
  return onLedger(clusters, side, signal, undefined, async (cluster) => {
    await cluster.maintenance.run(forgetGivenBack(run, databases));
  });
}

/** Everything was done once more for these databases, up to where they are. */
export function doneAgain(
  clusters: Clusters,
  side: Side,
  signal: AbortSignal,
  run: string,
  databases: readonly string[],
): Promise<void> {
  return onLedger(clusters, side, signal, undefined, (cluster) =>
    countAgain({ sourceCluster: cluster, sourceLedger: new Ledger(cluster), run }, databases),
  );
}

async function onLedger<T>(
  clusters: Clusters,
  side: Side,
  signal: AbortSignal,
  none: T,
  body: (cluster: BoundCluster) => Promise<T>,
): Promise<T> {
  const bound = clusters[side].bind({ applicationName: 'pgconvoy/keeper', signal });
  try {
    return (await new Ledger(bound).exists()) ? await body(bound) : none;
  } finally {
    await bound.close();
  }
}

export interface GiveBackRequest {
  readonly clusters: Clusters;
  readonly side: Side;
  /** By database: as the end of a sentence. */
  readonly why: (outage: Outage) => string;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Gives these databases back, a few at a time; what cannot be reached now is tried again by the keeper.
 * @returns which it was
 */
export async function giveBackAll(
  request: GiveBackRequest,
  outages: readonly Outage[],
): Promise<{ readonly given: readonly Outage[]; readonly kept: readonly Outage[] }> {
  if (outages.length === 0) return { given: [], kept: [] };
  const targetAway = !(await answers(request));
  const queue = [...outages];
  const [given, kept]: [Outage[], Outage[]] = [[], []];
  const drain = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const outcome = await giveBackOne(request, next, targetAway);
      if (outcome === undefined) kept.push(next);
      else if (outcome) given.push(next);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, drain));
  return { given, kept };
}

/** Whether the cluster that would have been opened does: one that has vanished would hold up each of many databases for its own time. */
async function answers({ clusters, side, log, signal }: GiveBackRequest): Promise<boolean> {
  const other = side === 'source' ? 'target' : 'source';
  const bound = clusters[other].bind({ applicationName: 'pgconvoy/keeper', signal });
  const asked = bound.maintenance.run(sql`select`).then(
    () => true,
    () => false,
  );
  const answered = await Promise.race([asked, sleep(ANSWER_MS, false, { ref: false })]);
  void asked.then(() => bound.close());
  if (!answered) log.warn({ side: other }, 'it does not answer: triggers that fire during replication stay there');
  return answered;
}

/** Undefined where it could not be done. */
async function giveBackOne(
  { clusters, side, why, log, signal }: GiveBackRequest,
  outage: Outage,
  targetAway: boolean,
): Promise<boolean | undefined> {
  const { database, run, together } = outage;
  const options = { together, back: side === 'target' };
  const { context, close } = openContext(clusters, {
    // Nothing of this is the engine's business, so nobody need be asked which one it is.
    engine: await engineOf(clusters, signal, { ...options, sourceAway: true }),
    applicationName: 'pgconvoy/keeper',
    database,
    input: {},
    run: { id: run ?? '', databases: [database], options },
    reversed: side === 'target',
    signal,
    log,
    progress: () => {},
  });
  try {
    const given = await giveBack(context, why(outage), targetAway);
    if (given) log.warn({ database, run }, `given back to the ${side}: ${why(outage)}; it goes on replicating`);
    return given;
  } catch (error) {
    log.warn({ database, run, reason: errorText(error) }, 'cannot be given back yet');
    return undefined;
  } finally {
    await close();
  }
}
