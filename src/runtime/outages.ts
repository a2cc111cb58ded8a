import * as z from 'zod';
import { errorText } from '../errors.ts';
import type { Logger } from '../log.ts';
import { countAgain } from '../operations/cutover/claim-fence.ts';
import { answersInTime, giveBack, letGo } from '../operations/cutover/give-back.ts';
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
import { openContext } from './context.ts';
import type { Clusters } from './context.ts';
import { engineOf } from './engine.ts';

/** A server that is away is not waited for longer, milliseconds. */
export const MOST_MS = 15_000;
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

interface GivenBackOutages {
  readonly given: readonly Outage[];
  readonly kept: readonly Outage[];
  /** Resolves when the cluster that would have been opened was asked for what need not be waited for, or does not answer. */
  readonly afterwards: Promise<void>;
}

/**
 * Gives these databases back, a few at a time; what cannot be reached now is tried again by the keeper.
 * @returns which it was
 */
export async function giveBackAll(request: GiveBackRequest, outages: readonly Outage[]): Promise<GivenBackOutages> {
  if (outages.length === 0) return { given: [], kept: [], afterwards: Promise.resolve() };
  const answering = answers(request);
  const queue = [...outages];
  const [given, kept]: [Outage[], Outage[]] = [[], []];
  const drain = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const outcome = await giveBackOne(request, next, () => answering);
      if (outcome === undefined) kept.push(next);
      else if (outcome) given.push(next);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, drain));
  return { given, kept, afterwards: letGoOf(request, given, answering) };
}

/** Of what was kept readable for a comparison. */
async function letGoOf(request: GiveBackRequest, given: readonly Outage[], answering: Promise<boolean>): Promise<void> {
  if (!(await answering)) return;
  for (const outage of given) {
    const { context, close } = await contextOf(request, outage);
    try {
      await letGo(context);
    } finally {
      await close();
    }
  }
}

/** Whether the cluster that would have been opened does. */
async function answers({ clusters, side, log, signal }: GiveBackRequest): Promise<boolean> {
  const other = side === 'source' ? 'target' : 'source';
  const answered = await answersInTime(clusters[other], signal);
  if (!answered)
    log.warn(
      { side: other },
      'it does not answer: triggers that fire during replication stay there, and snapshots for a comparison',
    );
  return answered;
}

async function contextOf(
  { clusters, side, log, signal }: GiveBackRequest,
  { database, run, together }: Outage,
): Promise<ReturnType<typeof openContext>> {
  const options = { together, back: side === 'target' };
  return openContext(clusters, {
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
}

/** Undefined where it could not be done. */
async function giveBackOne(
  request: GiveBackRequest,
  outage: Outage,
  answering: () => Promise<boolean>,
): Promise<boolean | undefined> {
  const { side, why, log } = request;
  const { database, run } = outage;
  const { context, close } = await contextOf(request, outage);
  try {
    const given = await giveBack(context, why(outage), answering);
    if (given) log.warn({ database, run }, `given back to the ${side}: ${why(outage)}; it goes on replicating`);
    return given;
  } catch (error) {
    log.warn({ database, run, reason: errorText(error) }, 'cannot be given back yet');
    return undefined;
  } finally {
    await close();
  }
}
