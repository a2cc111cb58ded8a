import type { LoadedConfig } from '../../src/config/load.ts';
import { loadConfig } from '../../src/config/load.ts';
import { clusterUrl } from './servers.ts';
import type { ClusterInfo } from './servers.ts';

/** The configuration by which a command reaches two clusters, as if their addresses were given as flags. */
export function loadedFor(
  source: ClusterInfo,
  target: ClusterInfo,
  env: Readonly<Record<string, string>> = {},
): LoadedConfig {
  const flags = { source: clusterUrl(source), target: clusterUrl(target) };
  return loadConfig({ env: { HOME: '/nonexistent', ...env }, flags, cwd: '/nonexistent' });
}
