import { AdvisoryLocks } from '../postgres/advisory-locks.ts';
import type { LockRequest, Release } from '../postgres/advisory-locks.ts';
import type { Clusters } from './context.ts';

/**
 * Who changes a database holds its lock on both clusters, whichever machine the worker runs on: two runs, or a worker that was taken for
 * dead and is not, cannot work on the same database at the same time. Cluster steps have a lock of their own.
 */
export class DatabaseLocks {
  readonly #locks: readonly AdvisoryLocks[];

  constructor(clusters: Pick<Clusters, 'source' | 'target'>) {
    // Always in this order, so that two never wait for each other.
    this.#locks = [clusters.source, clusters.target].map((cluster) => new AdvisoryLocks(cluster, 'pgconvoy/locks'));
  }

  /** @throws PgconvoyError of disposition `wait` that names the holder, after the deadline. */
  hold(database: string | undefined, request: LockRequest): Promise<Release> {
    return this.holdAll([database], request);
  }

  /** All of them, or none. */
  async holdAll(databases: readonly (string | undefined)[], request: LockRequest): Promise<Release> {
    // In one order for everybody as well. The name of a database cannot be like that of the cluster's.
    const keys = databases.map((name) => (name === undefined ? 'the cluster' : `database "${name}"`)).toSorted();
    const releases: Release[] = [];
    const release = async () => {
      await Promise.all(releases.map((one) => one()));
    };
    try {
      for (const key of keys) for (const locks of this.#locks) releases.push(await locks.hold(key, request));
    } catch (error) {
      await release();
      throw error;
    }
    return release;
  }

  async close(): Promise<void> {
    await Promise.all(this.#locks.map((locks) => locks.close()));
  }
}
