import { PgconvoyError } from '../errors.ts';
import type { Cluster } from '../postgres/cluster.ts';
import type { Identify } from '../queue/store.ts';
import type { Clusters } from './context.ts';

/**
 * Which servers no queue may be on: source and target.
 * @param always also where the queue has its tables already; a command that only reads need not wait for a cluster that is away
 */
export const identify =
  ({ source, target }: Pick<Clusters, 'source' | 'target'>, always: boolean): Identify =>
  async (made) =>
    made && !always ? [] : Promise.all([identityOf(source), identityOf(target)]);

async function identityOf(cluster: Cluster): Promise<Awaited<ReturnType<Identify>>[number]> {
  const { side } = cluster;
  const bound = cluster.bind({ applicationName: 'pgconvoy/queue', signal: new AbortController().signal });
  try {
    return { side, systemIdentifier: (await bound.facts()).systemIdentifier };
  } catch (error) {
    if (error instanceof PgconvoyError) return { side, away: error };
    throw error;
  } finally {
    await bound.close();
  }
}
