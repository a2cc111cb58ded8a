import { setTimeout as sleep } from 'node:timers/promises';
import { errorText } from '../errors.ts';
import type { Logger } from '../log.ts';
import { giveBack } from '../operations/cutover/give-back.ts';
import { FenceAsNoted, fencesAsNoted } from '../postgres/catalog/agreement.ts';
import type { BoundCluster, Side } from '../postgres/cluster.ts';
import { Ledger } from '../postgres/ledger.ts';
import { openContext } from './context.ts';
import type { Clusters } from './context.ts';
import { engineOf } from './engine.ts';

/** Between two looks, milliseconds: while a fence stands or a cutover may be going on, and of the queue otherwise. */
const LOOK_MS = 1_000;
/** A server that is away is not waited for longer. */
const MOST_MS = 15_000;

export interface KeeperRequest {
  readonly clusters: Clusters;
  /** Whether a step of a cutover is being worked on by anybody; while not, and nothing is fenced, no server is asked. */
  readonly isCuttingOver: () => Promise<boolean>;
  /** Whether a cutover has begun and not ended well: what is believed as long as a server does not answer. */
  readonly mayBeFenced: () => Promise<boolean>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export interface Keeper {
  /** Whether a fence stands, or may stand, that nobody has decided to open. */
  isNeeded(): boolean;
  /** Resolves when the signal has ended it. */
  readonly ended: Promise<void>;
}

/**
 * Watches the deadlines of write outages, from the beginning of the worker on: a database that is fenced, not opened, and late is given
 * back, with all that shall open together with it, whoever has fenced it and whatever has become of that worker.
 */
export function startKeeper(request: KeeperRequest): Keeper {
  const state = { needed: true, known: false };
  return { isNeeded: () => state.needed, ended: keep(request, state) };
}

async function keep(
  { clusters, isCuttingOver, mayBeFenced, log, signal }: KeeperRequest,
  state: { needed: boolean; known: boolean },
): Promise<void> {
  while (!signal.aborted) {
    try {
      if (state.needed || !state.known || (await isCuttingOver())) {
        state.needed = await lookAfter(clusters, log, signal);
        state.known = true;
      }
    } catch (error) {
      if (!signal.aborted) log.debug({ reason: errorText(error) }, 'fences cannot be looked at');
      if (!state.known) state.needed = await mayBeFenced().catch(() => true);
    }
    await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
  }
}

/** Looks once at both clusters: rows travel back, too. Whether a fence stands that may still become late. */
export async function lookAfter(clusters: Clusters, log: Logger, signal: AbortSignal): Promise<boolean> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(MOST_MS)]);
  const standing = await Promise.all(
    (['source', 'target'] as const).map(async (side) => {
      const fences = await fencesOf(clusters, side, limited);
      for (const fence of lateOf(fences)) await giveBackLate(clusters, side, fence, { log, signal: limited });
      return fences.length > 0;
    }),
  );
  return standing.includes(true);
}

/** Fences that nobody has decided to open behind. */
async function fencesOf(clusters: Clusters, side: Side, signal: AbortSignal): Promise<FenceAsNoted[]> {
  const bound: BoundCluster = clusters[side].bind({ applicationName: 'pgconvoy/keeper', signal });
  try {
    if (!(await new Ledger(bound).exists())) return [];
    const { systemIdentifier } = await bound.facts();
    const fences = await bound.maintenance.many(FenceAsNoted, fencesAsNoted(systemIdentifier));
    return fences.filter(({ decided }) => !decided);
  } finally {
    await bound.close();
  }
}

/** Where databases open together, one that is late is the end for all of them. */
function lateOf(fences: readonly FenceAsNoted[]): readonly FenceAsNoted[] {
  const groups = new Set(fences.filter(({ late, together }) => late && together).map(({ run }) => run));
  return fences.filter(({ late, together, run }) => late || (together && groups.has(run)));
}

async function giveBackLate(
  clusters: Clusters,
  side: Side,
  { database, run, late, together }: FenceAsNoted,
  { log, signal }: Pick<KeeperRequest, 'log' | 'signal'>,
): Promise<void> {
  const { context, close } = openContext(clusters, {
    engine: await engineOf(clusters, signal, { back: side === 'target' }),
    applicationName: 'pgconvoy/keeper',
    database,
    input: {},
    run: { id: run ?? '', databases: [database], options: { together, back: side === 'target' } },
    reversed: side === 'target',
    signal,
    log,
    progress: () => {},
  });
  try {
    if (!(await giveBack(context))) return;
    const why = late
      ? 'its write outage was over its deadline'
      : 'it opens together with one that was over its deadline';
    log.warn({ database, run }, `given back to the ${side}: ${why}; it goes on replicating`);
  } catch (error) {
    log.warn({ database, run, reason: errorText(error) }, 'late, and cannot be given back yet');
  } finally {
    await close();
  }
}
