import { setMaxListeners } from 'node:events';
import type { Settings } from '../config/schema.ts';
import type { OperationContext, Progress } from '../engine/operation.ts';
import type { Logger } from '../log.ts';
import type { Cluster } from '../postgres/cluster.ts';
import { Ledger } from '../postgres/ledger.ts';
import type { Programs } from '../postgres/programs.ts';
import type { Traffic } from '../postgres/traffic.ts';
import type { ReplicationEngine } from '../replication/engine.ts';

/** What all jobs of one process share. */
export interface Clusters {
  readonly source: Cluster;
  readonly target: Cluster;
  readonly settings: Settings;
  readonly programs: Programs;
  readonly traffic: Traffic;
}

export interface Job {
  readonly engine: ReplicationEngine;
  /** Shown in pg_stat_activity: `pgconvoy/RUN/OPERATION`. */
  readonly applicationName: string;
  /** Undefined in a cluster step. */
  readonly database: string | undefined;
  readonly input: unknown;
  readonly run: OperationContext['run'];
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly progress: (progress: Progress) => void;
  /** Where nobody keeps a log, lines go nowhere. */
  readonly note?: (line: string) => void;
  /** Rows travel back: the new cluster is the source of this job, the old one its target. */
  readonly reversed?: boolean;
}

/** The context of one job. Opens nothing yet: sessions come with the first statement. Close it when the job ends. */
export function openContext(clusters: Clusters, job: Job): { context: OperationContext; close: () => Promise<void> } {
  // Each statement that runs listens to it, and a step of the cluster has many at the same time.
  setMaxListeners(0, job.signal);
  const binding = { applicationName: job.applicationName, signal: job.signal };
  const [from, to] = job.reversed ? [clusters.target, clusters.source] : [clusters.source, clusters.target];
  const sourceCluster = from.bind(binding);
  const targetCluster = to.bind(binding);
  return {
    context: {
      input: job.input,
      source: job.database === undefined ? sourceCluster.maintenance : sourceCluster.database(job.database),
      target: job.database === undefined ? targetCluster.maintenance : targetCluster.database(job.database),
      sourceCluster,
      targetCluster,
      sourceLedger: new Ledger(sourceCluster),
      targetLedger: new Ledger(targetCluster),
      engine: job.engine,
      programs: clusters.programs,
      traffic: clusters.traffic,
      settings: clusters.settings,
      run: job.run,
      signal: job.signal,
      log: job.log,
      progress: job.progress,
      note: job.note ?? (() => {}),
    },
    async close() {
      await Promise.all([sourceCluster.close(), targetCluster.close()]);
    },
  };
}
