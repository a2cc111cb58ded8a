import { Gauge, Histogram, Registry } from 'prom-client';
import * as z from 'zod';
import { answers } from '../queue/store.ts';
import { countJobs, finishedSteps } from '../queue/measure.ts';
import type { FinishedStep, JobCount } from '../queue/measure.ts';
import type { Queues } from '../queue/queues.ts';
import { readWatch } from '../queue/watch-record.ts';
import type { WatchRecord } from '../queue/watch-record.ts';
import { listRuns, readRun, workersListening } from '../queue/read-run.ts';
import type { RunLine } from '../queue/types.ts';
import type { ClusterStatus } from '../runtime/status/types.ts';
import { cached } from './cached.ts';
import { figuresOf, LANE_STATES } from './run-figures.ts';
import type { RunFigures } from './run-figures.ts';

/** Where every database stands on both clusters; what is away is told, not thrown. */
export type ReadClusters = (signal: AbortSignal) => Promise<ClusterStatus>;

interface QueueLook {
  readonly jobs: readonly JobCount[];
  readonly runs: readonly RunLine[];
  readonly workers: number;
  readonly watch: WatchRecord | undefined;
  readonly unfinished: readonly { readonly id: string; readonly figures: RunFigures }[];
}

const PATIENCE_MS = 2_000;
const QUEUE_LOOK = { freshMs: 5_000, patienceMs: 5_000 };
/** It costs a session on each cluster. */
const CLUSTER_LOOK = { freshMs: 15_000, patienceMs: 3_000 };
const CLUSTER_LOOK_MOST_MS = 30_000;

const ENDED: ReadonlySet<RunLine['state']> = new Set(['completed', 'cancelled', 'failed']);
const Outage = z.object({ outageMs: z.number() });

/** The page for Prometheus: what cannot be asked is missing there, and `pgconvoy_queue_up` or `pgconvoy_server_up` says so. */
export function createMetrics(
  queues: Queues,
  readClusters: ReadClusters,
): { readonly contentType: string; text(): Promise<string> } {
  const registry = new Registry();
  const shown = instruments(registry);
  const nextSteps = finishedSteps(queues);
  const lookAtQueue = cached(async () => {
    for (const step of await nextSteps()) observe(shown, step);
    return readQueue(queues);
  }, QUEUE_LOOK);
  const lookAtClusters = cached(() => readClusters(AbortSignal.timeout(CLUSTER_LOOK_MOST_MS)), CLUSTER_LOOK);
  return {
    contentType: registry.contentType,
    async text() {
      // A command to a queue that is away waits until it is back.
      const queue = async () => ((await answers(queues, PATIENCE_MS)) ? lookAtQueue() : undefined);
      const [queueLook, clusters] = await Promise.all([queue(), lookAtClusters()]);
      showQueue(shown, queueLook);
      showClusters(shown, clusters);
      return registry.metrics();
    },
  };
}

async function readQueue(queues: Queues): Promise<QueueLook> {
  const [jobs, runs, workers, watch] = await Promise.all([
    countJobs(queues),
    listRuns(queues),
    workersListening(queues),
    readWatch(queues),
  ]);
  const going = runs.filter((run) => !ENDED.has(run.state));
  const unfinished = await Promise.all(
    going.map(async ({ id }) => ({ id, figures: figuresOf(await readRun(queues, id)) })),
  );
  return { jobs, runs, workers: workers.count, watch, unfinished };
}

function instruments(registry: Registry) {
  const gauge = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Gauge<L>({ name: `pgconvoy_${name}`, help, labelNames, registers: [registry] });
  const histogram = <L extends string>(name: string, help: string, buckets: number[], ...labelNames: L[]) =>
    new Histogram<L>({ name: `pgconvoy_${name}`, help, labelNames, buckets, registers: [registry] });
  return {
    queueUp: gauge('queue_up', 'Whether the queue can be reached'),
    workers: gauge('workers', 'Worker processes that listen'),
    jobs: gauge('jobs', 'Jobs, by queue and state', 'queue', 'state'),
    runs: gauge('runs', 'Runs, by workflow and state', 'workflow', 'state'),
    runDatabases: gauge(
      'run_databases',
      'Databases of a run that is not finished, by the state of their steps',
      'run',
      'state',
    ),
    copiedBytes: gauge('copy_bytes', 'Bytes copied so far, of a run that is not finished', 'run'),
    copyTotal: gauge('copy_total_bytes', 'Bytes to be copied, of a run that is not finished', 'run'),
    copiedRows: gauge('copy_rows', 'Rows copied so far, of a run that is not finished', 'run'),
    steps: histogram(
      'step_duration_seconds',
      'How long completed steps took, their last attempt',
      [0.1, 0.5, 1, 5, 15, 60, 300, 1_800, 7_200, 43_200],
      'step',
    ),
    outages: histogram(
      'outage_seconds',
      'How long nobody could write to a database that was switched over',
      [0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300],
    ),
    watchFindings: gauge('watchdog_findings', 'What the watchdog has found', 'code', 'severity', 'side', 'database'),
    watchAge: gauge('watchdog_age_seconds', 'How long ago the watchdog has looked'),
    serverUp: gauge('server_up', 'Whether the cluster can be asked', 'side'),
    databases: gauge('databases', 'Databases, by the state of their replication', 'state'),
    lagBytes: gauge('replication_lag_bytes', 'WAL that the target has not confirmed', 'database'),
    lagSeconds: gauge('replication_lag_seconds', 'At most so old is what the target has not confirmed', 'database'),
    retained: gauge('slot_retained_bytes', 'WAL that the slot makes the source keep', 'database'),
    walStatus: gauge(
      'slot_wal_status',
      'Whether the source still has what the slot needs: reserved, extended, unreserved or lost',
      'database',
      'wal_status',
    ),
    slotActive: gauge('slot_active', 'Whether somebody reads from the slot', 'database'),
  };
}
type Instruments = ReturnType<typeof instruments>;

function observe({ steps, outages }: Instruments, { key, milliseconds, changed, output }: FinishedStep): void {
  steps.observe({ step: key }, milliseconds / 1_000);
  const outage = Outage.safeParse(output);
  if (changed && outage.success) outages.observe(outage.data.outageMs / 1_000);
}

function showQueue(shown: Instruments, look: QueueLook | undefined): void {
  const { queueUp, workers, jobs, runs, runDatabases, copiedBytes, copyTotal, copiedRows, watchFindings, watchAge } =
    shown;
  const all = [workers, jobs, runs, runDatabases, copiedBytes, copyTotal, copiedRows, watchFindings, watchAge];
  for (const each of all) each.reset();
  queueUp.set(look ? 1 : 0);
  if (!look) return;
  workers.set(look.workers);
  if (look.watch) watchAge.set((Date.now() - look.watch.at) / 1_000);
  for (const { code, severity, side, database = '' } of look.watch?.findings ?? [])
    watchFindings.inc({ code, severity, side, database });
  for (const { queue, state, count } of look.jobs) jobs.set({ queue, state }, count);
  for (const { workflow, state } of look.runs) runs.inc({ workflow, state });
  for (const { id, figures } of look.unfinished) {
    for (const state of LANE_STATES) runDatabases.set({ run: id, state }, figures.lanes[state]);
    if (!figures.copy) continue;
    copiedBytes.set({ run: id }, figures.copy.bytes);
    copyTotal.set({ run: id }, figures.copy.totalBytes);
    copiedRows.set({ run: id }, figures.copy.rows);
  }
}

function showClusters(shown: Instruments, status: ClusterStatus | undefined): void {
  const { serverUp, databases, lagBytes, lagSeconds, retained, walStatus, slotActive } = shown;
  for (const each of [serverUp, databases, lagBytes, lagSeconds, retained, walStatus, slotActive]) each.reset();
  if (!status) return;
  const away = new Set(status.unreachable.map(({ side }) => side));
  for (const side of ['source', 'target'] as const) serverUp.set({ side }, away.has(side) ? 0 : 1);
  for (const one of status.databases) {
    const { database, state, slot } = one;
    databases.inc({ state });
    if (one.lagBytes !== undefined) lagBytes.set({ database }, one.lagBytes);
    if (one.lagSeconds !== undefined) lagSeconds.set({ database }, one.lagSeconds);
    if (!slot) continue;
    retained.set({ database }, slot.retainedBytes);
    slotActive.set({ database }, slot.active ? 1 : 0);
    if (slot.walStatus !== undefined) walStatus.set({ database, wal_status: slot.walStatus }, 1);
  }
}
