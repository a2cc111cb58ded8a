import { DelayedError, UnrecoverableError, WaitingChildrenError } from 'bullmq';
import type { Job } from 'bullmq';
import { concurrentStages } from '../engine/plan.ts';
import type { Stage } from '../engine/plan.ts';
import type { OperationResult } from '../engine/run-operation.ts';
import type { Workflow } from '../engine/workflow.ts';
import { PgconvoyError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { readApproval, readCancel, writeApproval } from './control-record.ts';
import { addStage, GATE_DELAY_MS, releaseGate } from './lanes.ts';
import type { Tell } from './notices.ts';
import { lastIdsOf, progressOf } from './queues.ts';
import type { Queues, RunData, RunProgress } from './queues.ts';
import { readSummary } from './read-run.ts';
import { stagesOfRun } from './run-plan.ts';
import { activeRuns } from './run-job.ts';
import { redactedError } from './redact.ts';
import { Cancelled, failureText, PredecessorMissing, stepErrorOf } from './step-error.ts';
import { cutoverBegun, cutoverDone, cutoverOf, runFailed, waitsForApproval } from './run-notices.ts';
import type { Approval, RunSummary } from './types.ts';

export interface RunProcessorOptions {
  readonly queues: Queues;
  readonly workflows: readonly Workflow[];
  readonly log: Logger;
  readonly tell: Tell;
}

/**
 * The processor of the queue `run`: adds the lanes of a stage, parks until they are done, looks whether really all of
 * them are, goes on with the next stage. Begins again anywhere: where it is, it sees from the children.
 */
export function runProcessor(options: RunProcessorOptions) {
  return async function processRun(job: Job<RunData>, token: string | undefined): Promise<RunSummary> {
    const log = options.log.child({ run: job.id, workflow: job.data.workflow });
    try {
      return await advance(options, job, token!, log);
    } catch (error) {
      if (error instanceof DelayedError || error instanceof WaitingChildrenError) throw error;
      if (!(error instanceof PgconvoyError)) {
        log.error({ err: redactedError(error) }, 'unexpected error');
        throw new Error(failureText(stepErrorOf(error)), { cause: error });
      }
      const kept = stepErrorOf(error);
      if (error instanceof Cancelled) log.info('cancelled');
      else log.error({ error: kept }, 'the run cannot go on');
      if (!(error instanceof Cancelled)) await options.tell(runFailed(job, kept));
      await job.updateProgress({ ...progressOf(job), error: kept } satisfies RunProgress);
      throw new UnrecoverableError(failureText(kept));
    }
  };
}

async function advance(
  options: RunProcessorOptions,
  job: Job<RunData>,
  token: string,
  log: Logger,
): Promise<RunSummary> {
  const { queues, workflows, tell } = options;
  const id = job.id!;
  const { data } = job;
  const cancel = await readCancel(queues, id);
  if (cancel) throw new Cancelled(id, cancel);
  const stages = stagesOfRun(id, data, workflows);
  // Nothing is taken back while a step of the cancelled run may still be doing it. Whatever becomes active from here on
  // sees the cancel record.
  if (data.undoes !== undefined && (await activeRuns(queues)).has(data.undoes)) {
    await job.moveToDelayed(Date.now() + 300, token);
    throw new DelayedError();
  }
  for (const group of concurrentStages(stages)) {
    const missing = await missingOf(
      queues,
      job,
      group.flatMap((stage) => lastIdsIn(id, stage, data)),
    );
    if (missing.length === 0) continue;
    const { added = -1 } = progressOf(job);
    for (const stage of group.filter(({ index }) => index > added)) await begin(options, job, stages, stage, log);
    if (await job.moveToWaitingChildren(token)) throw new WaitingChildrenError();
    // Nothing is pending any more. Either the last ones ended while we were adding, or somebody removed a failed job.
    const gone = await missingOf(queues, job, missing);
    if (gone.length > 0) {
      throw new PredecessorMissing(
        `${gone.length} of the steps that stage "${group.at(-1)!.title}" needs were removed from the queue before they succeeded (${gone.slice(0, 3).join(', ')}${gone.length > 3 ? ', …' : ''}): the next stage must not begin.`,
        { hint: `pgconvoy retry ${id} puts them back and runs them.` },
      );
    }
  }
  const summary = await readSummary(queues, id, data);
  if (cutoverOf(stages)) await tell(await cutoverDone(queues, job));
  await job.updateProgress({ added: stages.length - 1 } satisfies RunProgress);
  log.info({ changed: summary.changed, unchanged: summary.unchanged }, 'run completed');
  return summary;
}

/** Adds a stage that was not begun yet. */
async function begin(
  { queues, tell }: RunProcessorOptions,
  job: Job<RunData>,
  stages: readonly Stage[],
  stage: Stage,
  log: Logger,
): Promise<void> {
  const id = job.id!;
  log.info({ stage: stage.index, title: stage.title }, 'stage begins');
  const needless = stage.kind === 'gate' && (await isNeedless(job, stages, stage));
  // Before the gate is there to be seen: nobody shall be asked for a moment.
  if (needless) await writeApproval(queues, id, stage.index, 'nobody: there is nothing to approve');
  if (stage.index === cutoverOf(stages)?.index) await tell(cutoverBegun(job));
  await addStage(queues, id, job.data, stage);
  if (stage.kind === 'gate' && !needless) await tell(waitsForApproval(job, stage));
  if (needless) {
    log.info({ stage: stage.index, title: stage.title }, 'no approval needed');
    await releaseGate(queues, id, stage.index);
  }
  await job.updateProgress({ added: stage.index } satisfies RunProgress);
}

/** The ids that must be among the processed children of the run before what is behind this stage may begin. */
const lastIdsIn = (run: string, stage: Stage, { databases }: RunData): readonly string[] =>
  lastIdsOf(run, stage.index, { ...stage, steps: stage.kind === 'gate' ? [] : stage.steps }, databases);

type Gate = Extract<Stage, { readonly kind: 'gate' }>;

/** Each lane before the gate has observed what makes it needless. */
async function isNeedless(job: Job<RunData>, stages: readonly Stage[], { index, needlessIf }: Gate): Promise<boolean> {
  const before = stages[index - 1];
  if (needlessIf === undefined || before === undefined || before.kind === 'gate') return false;
  const values = Object.entries(await job.getChildrenValues<OperationResult>());
  return lastIdsIn(job.id!, before, job.data).every((id) => {
    const [, result] = values.find(([key]) => key.endsWith(`:${id}`)) ?? [];
    return (result?.output as Record<string, unknown> | null | undefined)?.[needlessIf] === true;
  });
}

/** Which of these children have not succeeded. */
async function missingOf(queues: Queues, job: Job<RunData>, ids: readonly string[]): Promise<readonly string[]> {
  const done = new Set(await queues.store.completedChildren({ queue: 'run', id: job.id! }));
  return ids.filter((id) => !done.has(id));
}

/** The processor of the queue `gate`: only an approval lets a gate pass, however its job came to be promoted. */
export function gateProcessor({ queues, log }: Pick<RunProcessorOptions, 'queues' | 'log'>) {
  return async function processGate(
    job: Job<{ run: string; stage: number }>,
    token: string | undefined,
  ): Promise<Approval> {
    const { run, stage } = job.data;
    const approved = await readApproval(queues, run, stage);
    if (approved) {
      log.info({ run, stage, by: approved.by }, 'approved');
      return approved;
    }
    await job.moveToDelayed(Date.now() + GATE_DELAY_MS, token);
    // An approval that came in between found nothing to promote.
    if (await readApproval(queues, run, stage)) await job.promote().catch(() => undefined);
    throw new DelayedError();
  };
}
