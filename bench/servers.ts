/** The clusters that every contender gets for itself: new ones, with the same settings and the same data. */
import { clusterUrl, startCluster } from '../test/helpers/servers.ts';
import type { Cluster, Major } from '../test/helpers/servers.ts';
import pg from 'pg';

export interface Pair extends AsyncDisposable {
  readonly source: Cluster;
  readonly target: Cluster;
}

export interface Majors {
  readonly source: Major;
  readonly target: Major;
}

/** Room for 100 databases with two table workers each; nothing that makes copying faster for one contender alone. */
const settings = {
  shared_buffers: '256MB',
  max_connections: 300,
  max_wal_senders: 320,
  max_replication_slots: 320,
  max_worker_processes: 330,
  max_logical_replication_workers: 310,
};

/** A source with the data of a scenario, and an empty target. */
export async function openPair(fill: (source: Cluster) => Promise<void>, majors: Majors): Promise<Pair> {
  const password = 'bench';
  const [source, target] = await Promise.all([
    startCluster({ major: majors.source, name: 'bench-source', password, settings }),
    startCluster({
      major: majors.target,
      name: 'bench-target',
      password,
      settings: { ...settings, ...(majors.target >= 18 ? { max_active_replication_origins: 320 } : {}) },
    }),
  ]);
  await fill(source);
  return {
    source,
    target,
    async [Symbol.asyncDispose]() {
      await Promise.all([source.stop(), target.stop()]);
    },
  };
}

/** Statements by the superuser, one after the other. */
export async function statements(cluster: Cluster, database: string, ...texts: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: clusterUrl(cluster, database) });
  await client.connect();
  try {
    for (const text of texts) await client.query(text);
  } finally {
    await client.end();
  }
}
