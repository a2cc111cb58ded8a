import { setMaxListeners } from 'node:events';
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

  /**
   * All of them, or none: those of a cluster at the same time, since another worker may have to hand over each. Whoever wants some of them
   * as well may have others: then both are refused after their deadlines, and come again.
   */
  async holdAll(databases: readonly (string | undefined)[], request: LockRequest): Promise<Release> {
    const keys = databases.map((name) => (name === undefined ? 'the cluster' : `database "${name}"`));
    // Each that is waited for listens to it.
    setMaxListeners(0, request.signal);
    const releases: Release[] = [];
    const release = async () => {
      await Promise.all(releases.map((one) => one()));
    };
    for (const locks of this.#locks) {
      const outcomes = await Promise.allSettled(keys.map((key) => locks.hold(key, request)));
      for (const outcome of outcomes) if (outcome.status === 'fulfilled') releases.push(outcome.value);
      const refused = outcomes.find((outcome) => outcome.status === 'rejected');
      if (!refused) continue;
      await release();
      throw refused.reason;
    }
    return release;
  }

  async close(): Promise<void> {
    await Promise.all(this.#locks.map((locks) => locks.close()));
  }
}
