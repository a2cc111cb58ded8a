import type { LagLook } from '../../queue/lag-record.ts';
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
/** Who has not looked for so long asks for what others have seen. */
const GAP_MS = 60_000;

/** What the watchdog has noted meanwhile, in order of time. */
type ReadPast = () => Promise<readonly LagLook[]>;

/** Remembers what each look at the clusters has seen, whoever asked for it; of times when nobody did, what the watchdog has noted. */
export class ClusterHistory {
  readonly #read: ReadClusters;
  readonly #readPast: ReadPast;
  readonly #samples = new Map<string, Sample[]>();
  #seen = 0;

  constructor(read: ReadClusters, readPast: ReadPast) {
    this.#read = read;
    this.#readPast = readPast;
  }

  readonly read: ReadClusters = async (signal) => {
    // Without a queue there is no past, and no run either.
    const isNew = Date.now() - this.#seen > GAP_MS;
    const [status, past] = await Promise.all([this.#read(signal), isNew ? this.#readPast().catch(() => []) : []]);
    for (const { at, databases } of past.filter((look) => look.at > this.#seen))
      for (const [database, [lagBytes, lagSeconds, retainedBytes]] of Object.entries(databases))
        this.#add(database, { at, lagBytes, ...(lagSeconds === null ? {} : { lagSeconds }), retainedBytes });
    this.#seen = Date.now();
    this.#remember(status, this.#seen);
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
      const { retainedBytes } = slot;
      this.#add(database, { at, lagBytes, ...(lagSeconds === undefined ? {} : { lagSeconds }), retainedBytes });
    }
    // A database that was away for one look keeps its past; one that is gone for good costs no more than that.
    if (seen.size > 0) for (const name of this.#samples.keys()) if (!seen.has(name)) this.#forget(name, at);
  }

  #add(database: string, sample: Sample): void {
    const samples = this.#samples.get(database) ?? [];
    this.#samples.set(database, samples);
    samples.push(sample);
    if (samples.length > KEPT) samples.shift();
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
