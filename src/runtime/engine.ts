import type { RunOptions } from '../engine/workflow.ts';
import type { Cluster } from '../postgres/cluster.ts';
import { ANY_NEWER } from '../postgres/versions.ts';
import { engineFor } from '../replication/engines.ts';
import type { ReplicationEngine } from '../replication/engine.ts';
import type { Clusters } from './context.ts';

/** By source: it does not change its version while we look at it. */
const chosen = new WeakMap<Cluster, ReplicationEngine>();

/**
 * The engine that the configuration asks for. With `auto` the source's version decides, which is asked once; a run that goes without
 * the source (`sourceAway`) takes what new ones have.
 * @throws UnreachableError, DatabaseError
 */
export async function engineOf(
  { source, settings }: Pick<Clusters, 'source' | 'settings'>,
  signal: AbortSignal,
  options: RunOptions = {},
): Promise<ReplicationEngine> {
  const { engine: wanted } = settings;
  // Any version will do for what is not decided by it.
  if (wanted !== 'auto') return engineFor(wanted, 0);
  if (options['sourceAway']) return engineFor(wanted, ANY_NEWER);
  const known = chosen.get(source);
  if (known) return known;
  const bound = source.bind({ applicationName: 'pgconvoy/engine', signal });
  try {
    const { major } = await bound.facts();
    const engine = engineFor('auto', major);
    chosen.set(source, engine);
    return engine;
  } finally {
    await bound.close();
  }
}
