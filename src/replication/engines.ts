import { offers } from '../postgres/versions.ts';
import type { EngineName, Pair, ReplicationEngine } from './engine.ts';
import { nativeEngine } from './native.ts';
import { pglogicalEngine } from './pglogical.ts';

const ENGINES: Readonly<Record<EngineName, ReplicationEngine>> = { native: nativeEngine, pglogical: pglogicalEngine };

/** The engine of a configuration; `auto` is native where the source offers it. */
export function engineFor(wanted: 'auto' | EngineName, sourceMajor: number): ReplicationEngine {
  if (wanted !== 'auto') return ENGINES[wanted];
  return ENGINES[offers(sourceMajor, 'publications') ? 'native' : 'pglogical'];
}

/**
 * For taking back: whichever engine it was that has set something up, also where the configuration names another one by now.
 * @returns the engine, with everything that takes back doing it for all of them
 */
export function takingBack(engine: ReplicationEngine): ReplicationEngine {
  const each = async (pair: Pair, take: (one: ReplicationEngine) => Promise<boolean>): Promise<boolean> => {
    // On the way back it is the old cluster that subscribes: what it does not have it need not be asked for.
    const majors = await Promise.all([pair.sourceCluster.facts(), pair.targetCluster.facts()]);
    const native = majors.every(({ major }) => offers(major, 'publications'));
    let changed = false;
    for (const one of Object.values(ENGINES)) {
      if (one.name === 'native' && !native) continue;
      changed = (await take(one)) || changed;
    }
    return changed;
  };
  return {
    ...engine,
    unpublish: (pair) => each(pair, (one) => one.unpublish(pair)),
    dropSlot: (pair) => each(pair, (one) => one.dropSlot(pair)),
    dropSubscription: (pair) => each(pair, (one) => one.dropSubscription(pair)),
  };
}
