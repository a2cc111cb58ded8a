import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Job, Processor, Worker, WorkerOptions } from 'bullmq';
import type { Config } from '../config/schema.ts';
import type { Workflow } from '../engine/workflow.ts';
import type { Logger } from '../log.ts';
import { readControls } from './control-record.ts';
import { noticeProcessor, teller } from './notices.ts';
import type { Notifying, Tell } from './notices.ts';
import { setBudgets } from './queues.ts';
import type { QueueName, Queues } from './queues.ts';
import { gateProcessor, runProcessor } from './run-processor.ts';
import { ABORT, stepProcessor } from './step-processor.ts';
import type { Execute, FailedForGood } from './types.ts';

/** Milliseconds. The defaults are meant for production; the fault tests use shorter ones. */
export interface WorkerTimes {
  /** A killed worker's job is taken over when this has passed since its last renewal. */
  readonly lockDuration: number;
  readonly stalledInterval: number;
  /** First and longest pause after a failed attempt; it doubles in between. */
  readonly backoff: readonly [first: number, longest: number];
  /** First and longest pause while somebody holds what a step needs. */
  readonly wait: readonly [first: number, longest: number];
  /** How long a stop waits for running steps to end. */
  readonly grace: number;
  readonly handOverDelay: number;
  readonly controlPoll: number;
  /** How long failures are gathered before they are told, and the first and longest pause after a message that did not arrive. */
  readonly gather: number;
  readonly tellAgain: readonly [first: number, longest: number];
}
const TIMES: WorkerTimes = {
  lockDuration: 60_000,
  stalledInterval: 20_000,
  backoff: [1_000, 30_000],
  wait: [1_000, 10_000],
  grace: 5_000,
  handOverDelay: 1_000,
  controlPoll: 1_000,
  gather: 3_000,
  tellAgain: [5_000, 300_000],
};

export interface WorkersRequest {
  readonly queues: Queues;
  readonly workflows: readonly Workflow[];
  readonly execute: Execute;
  readonly failedForGood?: FailedForGood;
  readonly budgets: Config['budgets'];
  /** How long a step asks again for what somebody holds before it fails, in milliseconds. */
  readonly waitDeadlineMs: number;
  readonly log: Logger;
  /** Who is told of what happens, and how; nobody unless it is said. */
  readonly notifications?: Notifying | undefined;
  /** Shown by status and `workersListening`; default: host and process id. */
  readonly name?: string;
  readonly times?: Partial<WorkerTimes>;
}

export interface Workers {
  readonly name: string;
  readonly tell: Tell;
  /** Whether there is nothing to do: nothing runs, waits, or will be tried again. A gate does not count. */
  idle(): Promise<boolean>;
  /**
   * Takes no more jobs and hands over what runs, so that another worker goes on in a second. Resolves when all is handed
   * over, at the latest after the grace time; what does not stop is taken over when its lock has run out. The queues stay
   * open: who opened them closes them.
   */
  stop(): Promise<void>;
}

/** Starts one BullMQ worker per queue in this process. Resolves when all of them listen. */
export async function startWorkers(request: WorkersRequest): Promise<Workers> {
  const { queues, log, budgets } = request;
  const times = { ...TIMES, ...request.times };
  const name = request.name ?? `${hostname().replaceAll(/[^\w.-]/g, '-')}-${process.pid}`;
  const state = { stopping: false };
  const workers = new Map<QueueName, Worker>();
  const active = new Map<string, { readonly run: string; readonly worker: Worker }>();

  const start = (queue: QueueName, concurrency: number, processor: Processor) => {
    const backoff = queue === 'notify' ? times.tellAgain : times.backoff;
    const worker = queues.store.worker(queue, processor, workerOptions(name, concurrency, { ...times, backoff }));
    worker.on('error', (error) => log.warn({ queue, error: error.message }, 'worker'));
    worker.on('stalled', (job) => log.warn({ queue, job }, 'taken over from a worker that is gone'));
    worker.on('lockRenewalFailed', (jobs) => {
      for (const job of jobs) worker.cancelJob(job, ABORT.lockLost);
    });
    workers.set(queue, worker);
  };

  const { listeners = [], deliver } = request.notifications ?? {};
  const tell = teller(queues, listeners, log, times.gather);
  const step = stepProcessor({
    queues,
    workflows: request.workflows,
    execute: request.execute,
    failedForGood: request.failedForGood,
    log,
    worker: name,
    waitDeadlineMs: request.waitDeadlineMs,
    waitDelay: (count) => growing(count, times.wait),
    isStopping: () => state.stopping,
    handOverDelayMs: times.handOverDelay,
    tell,
  });
  const tracked = (queue: QueueName) =>
    async function processStep(job: Job, token: string | undefined, signal: AbortSignal | undefined) {
      const entry = { run: job.data.run as string, worker: workers.get(queue)! };
      active.set(job.id!, entry);
      try {
        return await step(job, token, signal);
      } finally {
        // After a lost lock the job may be active here a second time.
        if (active.get(job.id!) === entry) active.delete(job.id!);
      }
    };

  await setBudgets(queues, budgets);
  start('run', 4, runProcessor({ queues, workflows: request.workflows, log, tell }));
  start('gate', 1, gateProcessor({ queues, log }));
  start('operation', budgets.operations, tracked('operation'));
  start('copy', budgets.copies, tracked('copy'));
  start('cutover', budgets.cutovers, tracked('cutover'));
  if (deliver) {
    const handOverDelayMs = times.handOverDelay;
    start('notify', 1, noticeProcessor({ queues, deliver, log, isStopping: () => state.stopping, handOverDelayMs }));
  }
  await Promise.all([...workers.values()].map((worker) => worker.waitUntilReady()));
  const stopPolling = pollControl(queues, active, times.controlPoll, log);
  log.info({ worker: name }, 'listening');

  let stopped: Promise<void> | undefined;
  return {
    name,
    tell,
    idle: () => isIdle(queues, active.size, [...workers.keys()]),
    stop() {
      stopped ??= (async () => {
        state.stopping = true;
        stopPolling();
        const closing = Promise.all([...workers.values()].map((worker) => worker.close()));
        for (const worker of workers.values()) worker.cancelAllJobs(ABORT.shutdown);
        const late = new AbortController();
        const done = await Promise.race([
          closing.then(() => true),
          sleep(times.grace, false, { signal: late.signal }).catch(() => true),
        ]);
        late.abort();
        if (!done) {
          log.warn(
            { steps: [...active.keys()] },
            'did not stop in time; another worker takes over when the lock has run out',
          );
        }
        log.info({ worker: name }, 'stopped');
      })();
      return stopped;
    },
  };
}

function workerOptions(
  name: string,
  concurrency: number,
  times: WorkerTimes,
): Omit<WorkerOptions, 'connection' | 'prefix'> {
  return {
    name,
    concurrency,
    lockDuration: times.lockDuration,
    stalledInterval: times.stalledInterval,
    // Each kill of a worker counts as a stall: the default of 1 would fail the job at the second one.
    maxStalledCount: 1_000,
    runRetryDelay: 1_000,
    settings: {
      backoffStrategy: (attemptsMade, type) =>
        type === 'growing' ? growing(attemptsMade, times.backoff) : times.backoff[0],
    },
  };
}

/** Doubles from the first to the longest; half of it is chance, so that a hundred lanes do not come back at once. */
export function growing(
  count: number,
  [first, longest]: readonly [number, number],
  chance: () => number = Math.random,
): number {
  const full = Math.min(longest, first * 2 ** Math.min(count - 1, 30));
  return Math.round(full / 2 + (chance() * full) / 2);
}

/** Looks once a second whether a run of which we have a step was cancelled. */
function pollControl(
  queues: Queues,
  active: ReadonlyMap<string, { readonly run: string; readonly worker: Worker }>,
  interval: number,
  log: Logger,
): () => void {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const look = async () => {
    const runs = [...new Set([...active.values()].map((entry) => entry.run))];
    if (runs.length > 0) {
      const controls = await readControls(queues, runs);
      for (const [job, { run, worker }] of active) {
        if (controls.get(run)?.cancel) worker.cancelJob(job, ABORT.cancelled);
      }
    }
  };
  const next = () => {
    if (stopped) return;
    timer = setTimeout(() => {
      look()
        .catch((error: Error) => log.debug({ error: error.message }, 'could not read the control records'))
        .finally(next);
    }, interval);
  };
  next();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}

async function isIdle(queues: Queues, active: number, names: readonly QueueName[]): Promise<boolean> {
  if (active > 0) return false;
  const counts = await Promise.all(
    names.map((name) => queues[name].getJobCounts('active', 'wait', 'prioritized', 'delayed')),
  );
  return counts.every((count, index) => {
    const delayed = names[index] === 'gate' ? 0 : (count['delayed'] ?? 0);
    return (count['active'] ?? 0) + (count['wait'] ?? 0) + (count['prioritized'] ?? 0) + delayed === 0;
  });
}
