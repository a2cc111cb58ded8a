import type { LoadedConfig } from '../config/load.ts';
import { Cluster } from '../postgres/cluster.ts';
import { createPrograms } from '../postgres/programs.ts';
import type { Clusters } from './context.ts';
import { trafficOf } from './traffic.ts';

/** Both clusters of a configuration and what works on them. Connects nowhere yet; `closeClusters` at the end. */
export function openClusters(loaded: LoadedConfig): Clusters {
  const { addresses, config, settings } = loaded;
  const { bin } = config.tools;
  return {
    source: new Cluster('source', addresses.source, config.source.database),
    target: new Cluster('target', addresses.target, config.target.database),
    settings,
    programs: createPrograms(bin === undefined ? {} : { bin }),
    traffic: trafficOf(loaded),
  };
}

/** Ends the sessions that are kept for a next step. */
export async function closeClusters(clusters: Clusters): Promise<void> {
  await Promise.all([clusters.source.close(), clusters.target.close()]);
}
