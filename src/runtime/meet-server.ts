import { Greeting, greeting } from '../postgres/catalog/greeting.ts';
import type { Cluster } from '../postgres/cluster.ts';
import { explained } from './preflight-servers.ts';

/**
 * Connects to one server and asks what it is and who we are there. Changes nothing.
 * @throws UnreachableError (or a PgconvoyError with its exit code) when it cannot be reached or refuses us
 */
export async function meetServer(cluster: Cluster, signal: AbortSignal): Promise<Greeting> {
  const bound = cluster.bind({ applicationName: 'pgconvoy/config', signal });
  try {
    return await bound.maintenance.one(Greeting, greeting());
  } catch (error) {
    throw explained(error, bound);
  } finally {
    await bound.close();
  }
}
