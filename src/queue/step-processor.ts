import { DelayedError, UnrecoverableError, WaitingChildrenError } from 'bullmq';
import type { Job } from 'bullmq';
import { outageBefore } from '../engine/plan.ts';
import type { OutageStep, PlannedStep } from '../engine/plan.ts';
import type { OperationResult } from '../engine/run-operation.ts';
import type { Workflow } from '../engine/workflow.ts';
import { DeadlineExceeded, PgconvoyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { readCancel } from './control-record.ts';
import type { Tell } from './notices.ts';
import { redactedError } from './redact.ts';
import type { Queues, StepData } from './queues.ts';
import { stagesOfRun } from './run-plan.ts';
import { runJob } from './run-job.ts';
import { Cancelled, failureText, PredecessorMissing, stepErrorOf } from './step-error.ts';
import { StepRecord } from './step-record.ts';
import type { Execute, FailedForGood, StepError, StepExecution } from './types.ts';

/** Why a worker aborts a step that runs. */
export const ABORT = { shutdown: 'shutdown', cancelled: 'cancelled', lockLost: 'lock-lost' } as const;

export interface StepProcessorOptions {
  readonly queues: Queues;
  readonly workflows: readonly Workflow[];
  readonly execute: Execute;
  readonly failedForGood?: FailedForGood | undefined;
  readonly log: Logger;
  readonly worker: string;
  /** How long a step asks again for what somebody holds, in milliseconds, before it fails. */
  readonly waitDeadlineMs: number;
  /** Milliseconds between two such attempts, by how often it has asked. */
  readonly waitDelay: (count: number) => number;
  /** True from the moment the worker has been told to stop. */
  readonly isStopping: () => boolean;
  /** How long after a hand-over the job may be taken by another worker. */
  readonly handOverDelayMs: number;
  readonly tell: Tell;
}

interface KnownRun {
  readonly run: StepExecution['run'];
  readonly step: (data: StepData) => KnownStep;
}

interface KnownStep {
  readonly planned: PlannedStep;
  /** In its lane. */
  readonly position: number;
  readonly outage: readonly OutageStep[] | undefined;
}

/** The processor of the queues operation, copy and cutover. */
export function stepProcessor(options: StepProcessorOptions) {
  const { queues, log } = options;
  const known = new Map<string, Promise<KnownRun>>();
  const knownRun = (id: string): Promise<KnownRun> => {
    let run = known.get(id);
    if (!run) {
      // A worker that lives for months forgets the oldest.
      if (known.size >= 50) known.delete([...known.keys()][0]!);
      run = loadRun(options, id);
      known.set(id, run);
      run.catch(() => known.delete(id));
    }
    return run;
  };

  // Three plain parameters: BullMQ gives a signal only to a function whose length says so.
  return async function processStep(
    job: Job<StepData>,
    token: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<OperationResult> {
    if (!signal || !job.id) throw new TypeError('BullMQ gave no signal or no id');
    const { run, database } = job.data;
    const attempt = job.attemptsStarted;
    const startedAt = job.processedOn ?? Date.now();
    const bound = log.child({
      run,
      workflow: job.data.workflow,
      step: job.data.step,
      database: database?.name,
      attempt,
    });
    const record = new StepRecord(job, attempt, startedAt);
    const attemptOf: Attempt = { options, job, token, signal, record, log: bound };
    const cancel = await readCancel(queues, run);
    if (cancel) return giveUp(attemptOf, new Cancelled(run, cancel), 'cancelled');
    if (options.isStopping()) return handOver(attemptOf);
    let result: OperationResult;
    try {
      const runs = await knownRun(run);
      const { planned, position, outage } = runs.step(job.data);
      attemptOf.execution = {
        run: runs.run,
        database,
        step: planned,
        attempt,
        signal,
        log: bound,
        progress: record.progress,
        note: (line) => note(attemptOf, line),
        findings: (findings) => record.findings(findings),
        repeated: record.repeated,
        outage,
        asked: record.asked,
        again: record.again,
      };
      if (position > 0) await requirePredecessor(attemptOf);
      signal.throwIfAborted();
      note(attemptOf, `attempt ${attempt} begins on ${options.worker}`);
      bound.info('begins');
      if (outage && record.asked) await record.begun();
      result = await options.execute(attemptOf.execution);
    } catch (error) {
      if (error instanceof WaitingChildrenError) {
        record.close();
        throw error;
      }
      return failed(attemptOf, error);
    }
    const milliseconds = Date.now() - startedAt;
    note(attemptOf, `${result.changed ? 'changed' : 'nothing to change'}, ${seconds(milliseconds)}`);
    bound.info({ changed: result.changed, milliseconds }, 'done');
    await record.finish('completed');
    return result;
  };
}

interface Attempt {
  readonly options: StepProcessorOptions;
  readonly job: Job<StepData>;
  readonly token: string | undefined;
  readonly signal: AbortSignal;
  readonly record: StepRecord;
  readonly log: Logger;
  /** From when the step is known. */
  execution?: StepExecution;
}

async function loadRun({ queues, workflows }: StepProcessorOptions, id: string): Promise<KnownRun> {
  const { data } = await runJob(queues, id);
  const stages = stagesOfRun(id, data, workflows);
  return {
    run: { id, workflow: data.workflow, databases: data.databases, options: data.options },
    step({ stage: index, step: key }) {
      const stage = stages[index];
      const position = stage && stage.kind !== 'gate' ? stage.steps.findIndex((one) => one.key === key) : -1;
      if (!stage || stage.kind === 'gate' || position < 0) throw new TypeError(`run ${id} has no step ${index}.${key}`);
      return { planned: stage.steps[position]!, position, outage: outageBefore(stages, index, key) };
    },
  };
}

/**
 * Removing a failed job (a board's Delete, `clean`) releases the one that waits for it, whatever it was to wait for. So
 * each step looks for itself.
 */
async function requirePredecessor({ job, token }: Attempt): Promise<void> {
  const { processed = 0, unprocessed = 0 } = await job.getDependenciesCount({ processed: true, unprocessed: true });
  if (processed > 0) return;
  // It was put back and is not done yet.
  if (unprocessed > 0 && (await job.moveToWaitingChildren(token!))) throw new WaitingChildrenError();
  throw new PredecessorMissing(
    `The step before ${job.data.step} was removed from the queue before it succeeded: ${where(job)} must not go on without it.`,
    {
      hint: `pgconvoy retry ${job.data.run} puts it back and runs it first.`,
    },
  );
}

const where = (job: Job<StepData>): string =>
  job.data.database ? `database "${job.data.database.name}"` : 'the cluster';

async function failed(attempt: Attempt, error: unknown): Promise<never> {
  const { options, job, signal, record, log } = attempt;
  if (signal.aborted) {
    if (signal.reason === ABORT.lockLost) {
      record.close();
      log.warn('aborted: the lock of the job was lost, another worker may have it');
      throw plain('The lock of this job was lost; another worker goes on with it.');
    }
    const cancel = await readCancel(options.queues, job.data.run);
    if (cancel) return giveUp(attempt, new Cancelled(job.data.run, cancel), 'cancelled');
    return handOver(attempt);
  }
  if (!(error instanceof PgconvoyError)) {
    log.error({ err: redactedError(error) }, 'unexpected error');
    return tryAgain(attempt, error);
  }
  if (error.disposition === 'give-up') return giveUp(attempt, error, 'failed');
  if (error.disposition === 'wait') return wait(attempt, error);
  return tryAgain(attempt, error);
}

async function giveUp(attempt: Attempt, error: PgconvoyError, outcome: 'failed' | 'cancelled'): Promise<never> {
  const { job, record, log } = attempt;
  const kept = outcome === 'failed' ? await lastError(attempt, error) : stepErrorOf(error);
  if (outcome === 'failed') log.error({ error: kept }, 'failed for good');
  else log.info('cancelled');
  note({ job }, `${outcome === 'failed' ? 'failed for good' : 'cancelled'}: ${failureText(kept)}`);
  if (outcome === 'failed') await tellFailure(attempt, kept);
  await record.finish(outcome, { error: kept });
  throw plain(failureText(kept), UnrecoverableError);
}

async function tryAgain(attempt: Attempt, error: unknown): Promise<never> {
  const { job, record, log } = attempt;
  const attempts = job.opts.attempts ?? 1;
  const last = job.attemptsMade + 1 >= attempts;
  const kept = last ? await lastError(attempt, error) : stepErrorOf(error);
  log[last ? 'error' : 'warn']({ error: kept }, last ? 'failed for good' : 'failed, will try again');
  note({ job }, `failed (${job.attemptsMade + 1} of ${attempts}): ${failureText(kept)}`);
  if (last) await tellFailure(attempt, kept);
  await record.finish(last ? 'failed' : 'retry', { error: kept });
  throw plain(failureText(kept));
}

/** What is kept of a failure after which nobody tries again by himself. */
async function lastError({ options, execution, log }: Attempt, error: unknown): Promise<StepError> {
  const kept = stepErrorOf(error);
  if (!execution || !options.failedForGood) return kept;
  const became = await options.failedForGood(execution, kept).catch((thrown: unknown) => {
    log.warn({ err: redactedError(thrown) }, 'after the failure');
    return undefined;
  });
  return became === undefined ? kept : { ...kept, message: `${kept.message}. ${became}` };
}

/** Before the failure is written down: a worker that dies here comes to it once more, and it is told once. */
async function tellFailure({ options, job, record }: Attempt, error: StepError): Promise<void> {
  const { run, workflow, step, database } = job.data;
  await options.tell({
    id: `${job.id}.failed.${record.series}`,
    event: 'failed-step',
    run,
    workflow,
    step,
    ...(database ? { database: database.name } : {}),
    what: `step ${step} has failed${database ? ` in database "${database.name}"` : ''}`,
    why: error.message,
    next: `${error.hint}\nThen: pgconvoy retry ${run}`,
    at: Date.now(),
  });
}

/** Asks again later without using up an attempt, until the deadline. */
async function wait(attempt: Attempt, error: PgconvoyError): Promise<never> {
  const { options, job, token, record, log } = attempt;
  const since = record.waiting?.since ?? Date.now();
  const count = (record.waiting?.count ?? 0) + 1;
  const waited = Date.now() - since;
  const delay = options.waitDelay(count);
  if (waited + delay > options.waitDeadlineMs) {
    return giveUp(
      attempt,
      new DeadlineExceeded(`${error.message} (asked ${count} times in ${seconds(waited)})`, {
        hint: error.hint,
        exitCode: error.exitCode,
        cause: error,
      }),
      'failed',
    );
  }
  const kept = stepErrorOf(error);
  log.info({ error: kept, nextInMs: Math.round(delay) }, 'waits');
  note({ job }, `waits: ${kept.message}`);
  await record.finish('wait', { error: kept, waiting: { since, count } }, 60_000);
  await job.moveToDelayed(Date.now() + delay, token);
  throw new DelayedError();
}

/** The worker stops: another one may go on in a second. */
async function handOver({ options, job, token, record, log }: Attempt): Promise<never> {
  note({ job }, `handed over: ${options.worker} stops`);
  log.info('handed over');
  await record.finish('handed-over', { waiting: record.waiting }, 1_000);
  await job.moveToDelayed(Date.now() + options.handOverDelayMs, token);
  throw new DelayedError();
}

/** A line in the job's own log, which boards and `pgconvoy logs` show. Never waited for. */
function note({ job }: Pick<Attempt, 'job'>, text: string): void {
  job.log(`${new Date().toISOString()} ${text}`).catch(() => undefined);
}

const seconds = (milliseconds: number): string => `${(milliseconds / 1_000).toFixed(1)} s`;

/** Without a stack trace: BullMQ would keep it in the job. */
function plain(text: string, Kind: new (message: string) => Error = Error): Error {
  const error = new Kind(text);
  error.stack = text;
  return error;
}
