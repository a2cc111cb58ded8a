import { setTimeout as sleep } from 'node:timers/promises';
import { errorText } from '../errors.ts';
import type { Logger } from '../log.ts';
import { whyLate } from '../operations/cutover/late.ts';
import type { GivenBackAsNoted } from '../postgres/catalog/agreement.ts';
import type { Side } from '../postgres/cluster.ts';
import type { Clusters } from './context.ts';
import { MOST_MS, giveBackAll, readOutages } from './outages.ts';
import type { Outage } from './outages.ts';

/** Between two looks, milliseconds: while a fence stands or a cutover may be going on, and of the queue otherwise. */
const LOOK_MS = 1_000;
/** Rows travel back, too: each cluster may be the one that is left. */
const SIDES: readonly Side[] = ['source', 'target'];

export interface KeeperRequest {
  readonly clusters: Clusters;
  /** Whether a step of a cutover is being worked on by anybody; while not, and nothing is fenced, no server is asked. */
  readonly isCuttingOver: () => Promise<boolean>;
  /** Whether a cutover has begun and not ended well: what is believed as long as a server does not answer. */
  readonly mayBeFenced: () => Promise<boolean>;
  /** Told at each look which databases were given back, by whomever, while their runs were not over; of a server that is away as seen last. */
  readonly onGivenBack?: (databases: readonly GivenBackAsNoted[]) => void;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export interface Keeper {
  /** Whether an outage goes on, or may, that nobody has decided to end by opening. */
  isNeeded(): boolean;
  /** Resolves when the signal has ended it. */
  readonly ended: Promise<void>;
}

/** What one cluster has shown. */
export interface Look {
  /** Whether an outage goes on that may still become late. */
  readonly goesOn: boolean;
  readonly givenBack: readonly GivenBackAsNoted[];
  /** Resolves when all that need not be waited for is done as well. */
  readonly afterwards: Promise<void>;
}

/**
 * Watches the deadlines of write outages, from the beginning of the worker on: a database that is fenced (or in front of which PgBouncer
 * waits), not opened, and late is given back, with all that shall open together with it, whoever has fenced it and whatever has become of
 * that worker. Each cluster is looked at by itself: one that has vanished costs its whole time to connect, and what is late on the other
 * one does not wait for it.
 */
export function startKeeper(request: KeeperRequest): Keeper {
  const state: State = { last: new Map(), unseen: true, afterwards: new Set() };
  return { isNeeded: () => isNeeded(state), ended: keep(request, state) };
}

interface State {
  /** What each cluster has shown last. */
  readonly last: Map<Side, Look>;
  /** Whether there may be an outage on one that has shown nothing yet. */
  unseen: boolean;
  /** What goes on behind a look, and keeps no other one waiting. */
  readonly afterwards: Set<Promise<void>>;
}

const isNeeded = ({ last, unseen }: State): boolean => SIDES.some((side) => last.get(side)?.goesOn ?? unseen);

async function keep(request: KeeperRequest, state: State): Promise<void> {
  const { isCuttingOver, log, signal } = request;
  const looking = new Map<Side, Promise<void>>();
  while (!signal.aborted) {
    try {
      if (isNeeded(state) || state.last.size < SIDES.length || (await isCuttingOver())) {
        for (const side of SIDES) {
          if (looking.has(side)) continue;
          looking.set(
            side,
            lookOnce(request, state, side).finally(() => looking.delete(side)),
          );
        }
      }
    } catch (error) {
      log.debug({ reason: errorText(error) }, 'the queue cannot be asked for cutovers');
    }
    await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
  }
  await Promise.all(looking.values());
  await Promise.all(state.afterwards);
}

async function lookOnce(request: KeeperRequest, state: State, side: Side): Promise<void> {
  const { clusters, mayBeFenced, onGivenBack, log, signal } = request;
  try {
    const look = await lookAfter(clusters, side, log, signal);
    state.last.set(side, look);
    onGivenBack?.([...state.last.values()].flatMap(({ givenBack }) => givenBack));
    state.afterwards.add(look.afterwards);
    void look.afterwards.finally(() => state.afterwards.delete(look.afterwards));
  } catch (error) {
    if (!signal.aborted) log.debug({ side, reason: errorText(error) }, 'fences cannot be looked at');
    if (!state.last.has(side)) state.unseen = await mayBeFenced().catch(() => true);
  }
}

/** Looks once at the databases that leave this cluster, and gives back what is late. */
export async function lookAfter(clusters: Clusters, side: Side, log: Logger, signal: AbortSignal): Promise<Look> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(MOST_MS)]);
  const { outages, givenBack } = await readOutages(clusters, side, limited);
  const open = outages.filter(({ decided }) => !decided);
  const why = (outage: Outage) => whyOf(outage, open);
  const { given, afterwards } = await giveBackAll({ clusters, side, why, log, signal: limited }, lateOf(open));
  const now = given.map((outage) => ({ database: outage.database, run: outage.run ?? '', why: why(outage) }));
  return { goesOn: open.length > 0, givenBack: [...givenBack, ...now], afterwards };
}

/** Where databases open together, one that is late is the end for all of them. */
function lateOf(outages: readonly Outage[]): readonly Outage[] {
  const groups = new Set(outages.filter(({ late, together }) => late && together).map(({ run }) => run));
  return outages.filter(({ late, together, run }) => late || (together && groups.has(run)));
}

const whyOf = ({ late, run }: Outage, outages: readonly Outage[]): string =>
  whyLate(
    late,
    outages.filter((other) => other.late && other.together && other.run === run).map(({ database }) => database),
  );
