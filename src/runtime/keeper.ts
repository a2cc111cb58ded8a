import { setTimeout as sleep } from 'node:timers/promises';
import { errorText } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { GivenBackAsNoted } from '../postgres/catalog/agreement.ts';
import type { Clusters } from './context.ts';
import { MOST_MS, giveBackAll, readOutages } from './outages.ts';
import type { Outage } from './outages.ts';

/** Between two looks, milliseconds: while a fence stands or a cutover may be going on, and of the queue otherwise. */
const LOOK_MS = 1_000;

export interface KeeperRequest {
  readonly clusters: Clusters;
  /** Whether a step of a cutover is being worked on by anybody; while not, and nothing is fenced, no server is asked. */
  readonly isCuttingOver: () => Promise<boolean>;
  /** Whether a cutover has begun and not ended well: what is believed as long as a server does not answer. */
  readonly mayBeFenced: () => Promise<boolean>;
  /** Told at each look which databases were given back, by whomever, while their runs were not over. */
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

/**
 * Watches the deadlines of write outages, from the beginning of the worker on: a database that is fenced (or in front of which PgBouncer
 * waits), not opened, and late is given back, with all that shall open together with it, whoever has fenced it and whatever has become of
 * that worker.
 */
export function startKeeper(request: KeeperRequest): Keeper {
  const state = { needed: true, known: false };
  return { isNeeded: () => state.needed, ended: keep(request, state) };
}

async function keep(
  { clusters, isCuttingOver, mayBeFenced, onGivenBack, log, signal }: KeeperRequest,
  state: { needed: boolean; known: boolean },
): Promise<void> {
  while (!signal.aborted) {
    try {
      if (state.needed || !state.known || (await isCuttingOver())) {
        state.needed = await lookAfter(clusters, log, signal, onGivenBack);
        state.known = true;
      }
    } catch (error) {
      if (!signal.aborted) log.debug({ reason: errorText(error) }, 'fences cannot be looked at');
      if (!state.known) state.needed = await mayBeFenced().catch(() => true);
    }
    await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
  }
}

/** Looks once at both clusters: rows travel back, too. Whether an outage goes on that may still become late. */
export async function lookAfter(
  clusters: Clusters,
  log: Logger,
  signal: AbortSignal,
  onGivenBack: NonNullable<KeeperRequest['onGivenBack']> = () => {},
): Promise<boolean> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(MOST_MS)]);
  const seen = await Promise.all(
    (['source', 'target'] as const).map(async (side) => {
      const { outages, givenBack } = await readOutages(clusters, side, limited);
      const open = outages.filter(({ decided }) => !decided);
      const late = lateOf(open);
      const why = (outage: Outage) => whyOf(outage, open);
      const { given } = await giveBackAll({ clusters, side, why, log, signal: limited }, late);
      const now = given.map((outage) => ({ database: outage.database, run: outage.run ?? '', why: why(outage) }));
      return { goesOn: open.length > 0, givenBack: [...givenBack, ...now] };
    }),
  );
  onGivenBack(seen.flatMap(({ givenBack }) => givenBack));
  return seen.some(({ goesOn }) => goesOn);
}

/** Where databases open together, one that is late is the end for all of them. */
function lateOf(outages: readonly Outage[]): readonly Outage[] {
  const groups = new Set(outages.filter(({ late, together }) => late && together).map(({ run }) => run));
  return outages.filter(({ late, together, run }) => late || (together && groups.has(run)));
}

function whyOf({ late, run }: Outage, outages: readonly Outage[]): string {
  if (late) return 'the deadline of its write outage has passed before everything was ready';
  const others = outages.filter((other) => other.late && other.together && other.run === run);
  const names = others.slice(0, 3).map(({ database }) => `"${database}"`);
  return `it opens together with ${names.join(', ')}${others.length > 3 ? ' and others' : ''}, where the deadline of the write outage has passed`;
}
