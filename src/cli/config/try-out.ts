import { loadInput } from '../../config/load.ts';
import type { LoadedConfig } from '../../config/load.ts';
import type { ConfigInput } from '../../config/schema.ts';
import { ConfigError } from '../../errors.ts';
import { connect } from '../../queue/connection.ts';
import { checkServer } from '../../queue/store.ts';
import { closeClusters, openClusters } from '../../runtime/clusters.ts';
import type { Clusters } from '../../runtime/context.ts';
import { ensureEmbedded, namesQueue } from '../../runtime/embedded/ensure.ts';
import { identify } from '../../runtime/identify.ts';
import { meetServer } from '../../runtime/meet-server.ts';
import { meetServers } from '../../runtime/preflight-servers.ts';

export type Side = 'source' | 'target';
export type ServerInput = NonNullable<ConfigInput['target']>;

/** What is tried out is meant for a file: relative paths start at its folder. */
export interface Place {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly folder: string;
}

export interface MetServer {
  /** What belongs into the file: what was given, and what the environment has filled in, but no password of its. */
  readonly input: ServerInput & { readonly host: string; readonly port: number; readonly user: string };
  readonly version: string;
  readonly superuser: boolean;
  readonly databases: number;
}

/** Somewhere has to be said, of the side that is not tried. */
const ELSEWHERE: ServerInput = { host: 'localhost' };

/**
 * Connects to one of the two servers.
 * @throws ConfigError, UnreachableError
 */
export async function tryServer(side: Side, given: ServerInput, { env, folder }: Place): Promise<MetServer> {
  const loaded = loadInput({ source: ELSEWHERE, target: ELSEWHERE, [side]: given }, { env, cwd: folder });
  const { user, version, superuser, inRecovery, databases } = await using(loaded, (clusters) =>
    meetServer(clusters[side], new AbortController().signal),
  );
  if (inRecovery) {
    throw new ConfigError(`the ${side} is a standby: nothing can be written there`, { hint: 'Give its primary.' });
  }
  const { host, port } = loaded.addresses[side];
  const { database, sslmode, sslrootcert, connectTimeout } = loaded.config[side];
  const input = {
    host,
    port,
    user,
    ...(given.password === undefined || given.password === '' ? {} : { password: given.password }),
    database,
    sslmode,
    ...(sslrootcert === undefined ? {} : { sslrootcert }),
    connectTimeout: connectTimeout % 1_000 === 0 ? `${connectTimeout / 1_000}s` : `${connectTimeout}ms`,
  };
  return { input, version, superuser, databases };
}

/**
 * Sees whether the two fit together.
 * @throws ConfigError, UnreachableError
 */
export async function tryTogether(config: ConfigInput, { env, folder }: Place): Promise<readonly string[]> {
  const loaded = loadInput(config, { env, cwd: folder });
  const { warnings } = await using(loaded, (clusters) => meetServers(clusters, new AbortController().signal));
  return warnings;
}

export interface MetQueue {
  /** Undefined for the private one of this machine. */
  readonly address: string | undefined;
  readonly warnings: readonly string[];
}

/**
 * Connects to the queue; where none is named, starts the private redis-server of this machine and stops it again.
 * @throws ConfigError, UnreachableError
 */
export async function tryQueue(config: ConfigInput, { env, folder }: Place): Promise<MetQueue> {
  const loaded = loadInput(config, { env, cwd: folder });
  if (!namesQueue(loaded)) {
    const embedded = await ensureEmbedded(loaded, { worker: false, env });
    await embedded.close();
    return { address: undefined, warnings: [] };
  }
  return using(loaded, async (clusters) => {
    const store = await connect(loaded.config.queue, 'command', identify(clusters, true));
    try {
      const warnings = await checkServer({ store });
      return { address: store.address, warnings: warnings.map(({ message, remedy }) => `${message} ${remedy}`) };
    } finally {
      await store.close();
    }
  });
}

async function using<T>(loaded: LoadedConfig, body: (clusters: Clusters) => Promise<T>): Promise<T> {
  const clusters = openClusters(loaded);
  try {
    return await body(clusters);
  } finally {
    await closeClusters(clusters);
  }
}
