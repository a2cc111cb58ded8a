import type { ClusterStatus, DatabaseStatus } from '../../runtime/status/types.ts';
import type { ReadClusters } from '../metrics.ts';

/** One look at one database. */
interface Sample {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly lagBytes: number;
  readonly lagSeconds?: number;
  readonly retainedBytes: number;
}

/** What the page shows of a database's replication. */
export interface ReplicationLine {
  readonly state: DatabaseStatus['state'];
  readonly reason?: string;
  readonly fenced: boolean;
  readonly tables?: DatabaseStatus['tables'];
  readonly lagBytes?: number;
  readonly lagSeconds?: number;
  readonly slot?: DatabaseStatus['slot'];
}

/** So many looks are kept of each database. */
const KEPT = 180;
/** The pace of the last minutes says more than that of the whole time. */
const PACE_MS = 300_000;
const PACE_LEAST_MS = 10_000;

/** Remembers what each look at the clusters has seen, whoever asked for it. */
export class ClusterHistory {
  readonly #read: ReadClusters;
  readonly #samples = new Map<string, Sample[]>();

  constructor(read: ReadClusters) {
    this.#read = read;
  }

  readonly read: ReadClusters = async (signal) => {
    const status = await this.#read(signal);
    this.#remember(status, Date.now());
    return status;
  };

  samples(database: string): readonly Sample[] {
    return this.#samples.get(database) ?? [];
  }

  /** How fast the WAL that a slot retains grows, bytes a second; undefined as long as that would be a guess. */
  growth(database: string): number | undefined {
    const samples = this.samples(database);
    const last = samples.at(-1);
    if (!last) return undefined;
    const first = samples.find(({ at }) => at >= last.at - PACE_MS)!;
    const elapsed = last.at - first.at;
    return elapsed < PACE_LEAST_MS ? undefined : ((last.retainedBytes - first.retainedBytes) / elapsed) * 1_000;
  }

  #remember({ databases }: ClusterStatus, at: number): void {
    const seen = new Set<string>();
    for (const { database, lagBytes, lagSeconds, slot } of databases) {
      if (lagBytes === undefined || !slot) continue;
      seen.add(database);
      const samples = this.#samples.get(database) ?? [];
      this.#samples.set(database, samples);
      samples.push({
        at,
        lagBytes,
        ...(lagSeconds === undefined ? {} : { lagSeconds }),
        retainedBytes: slot.retainedBytes,
      });
      if (samples.length > KEPT) samples.shift();
    }
    // A database that was away for one look keeps its past; one that is gone for good costs no more than that.
    if (seen.size > 0) for (const name of this.#samples.keys()) if (!seen.has(name)) this.#forget(name, at);
  }

  #forget(name: string, now: number): void {
    if (now - this.#samples.get(name)!.at(-1)!.at > PACE_MS) this.#samples.delete(name);
  }
}

export const replicationLine = ({
  state,
  reason,
  setup,
  tables,
  lagBytes,
  lagSeconds,
  slot,
}: DatabaseStatus): ReplicationLine => ({
  state,
  ...(reason === undefined ? {} : { reason }),
  fenced: setup.source.fenced && !setup.target.opened,
  ...(tables ? { tables } : {}),
  ...(lagBytes === undefined ? {} : { lagBytes }),
  ...(lagSeconds === undefined ? {} : { lagSeconds }),
  ...(slot ? { slot } : {}),
});
