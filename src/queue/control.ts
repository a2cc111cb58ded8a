import type { Config } from '../config/schema.ts';
import type { Workflow } from '../engine/workflow.ts';
import { ExitCode, PgconvoyError } from '../errors.ts';
import { clearCancel, readApproval, readControl, writeApproval, writeCancel, writeUndoneBy } from './control-record.ts';
import { finishOf } from './job-state.ts';
import { addStage, releaseGate } from './lanes.ts';
import { gateId, progressOf, runOf, setBudgets } from './queues.ts';
import type { Queues, RunData } from './queues.ts';
import { placesOf, readRun } from './read-run.ts';
import { stagesOfRun } from './run-plan.ts';
import { refuseConflicts } from './conflicts.ts';
import { activeRuns, runJob } from './run-job.ts';
import { addRun, isRun, runData, withRunsLocked } from './runs.ts';
import { reach } from './store.ts';
import type { JobFields } from './store.ts';
import type { RunSummary, RunView, StepName } from './types.ts';

/** What the commands that steer runs need beside the queues. */
export interface Steering {
  readonly workflows: readonly Workflow[];
  /** Who does it, as `user@host`. */
  readonly by: string;
  /** Of pgconvoy. */
  readonly version: string;
  readonly budgets: Config['budgets'];
}

/** What trying again needs of it. */
export type Retrying = Pick<Steering, 'workflows' | 'budgets'>;

export interface CancelResult {
  /** Who had cancelled it before; undefined when it was us. */
  readonly already?: string;
  /** Steps that were running; their workers stop them within a second or two. */
  readonly stopping: readonly StepName[];
  /** The run that takes back what must not stay; it begins when the last step has stopped. */
  readonly undoneBy?: string;
}

/**
 * Cancels a run: running steps are stopped, those that have not begun do not begin. Where the workflow says what a cancel
 * takes back, a run for that is enqueued; it begins when nothing of the cancelled run is active any more. Cancelling
 * again completes a cancel that was interrupted.
 * @throws PgconvoyError when there is no such run or it has ended.
 */
export async function cancelRun(queues: Queues, id: string, steering: Steering): Promise<CancelResult> {
  return reach(queues, async () => {
    const run = await readRun(queues, id);
    if (run.state === 'completed') {
      throw new PgconvoyError(`Run ${id} is completed: there is nothing to cancel.`, {
        hint: `pgconvoy status ${id} shows what it did.`,
        exitCode: ExitCode.usage,
      });
    }
    const first = await writeCancel(queues, id, steering.by);
    const { data } = await runJob(queues, id);
    const workflow = steering.workflows.find((one) => one.name === data.workflow);
    const undoneBy =
      data.part === 'rows' && workflow?.onCancel?.length
        ? await takeBack(queues, id, data, workflow, steering)
        : undefined;
    // As it was before the cancel: a worker may have stopped already.
    const stopping = stepsOf(run).filter((step) => step.state === 'active');
    return {
      ...(first || run.cancel === undefined ? {} : { already: run.cancel.by }),
      stopping: stopping.map(nameOf),
      ...(undoneBy === undefined ? {} : { undoneBy }),
    };
  });
}

async function takeBack(
  queues: Queues,
  id: string,
  data: RunData,
  workflow: Workflow,
  steering: Steering,
): Promise<string> {
  return withRunsLocked(queues, async () => {
    const undoneBy = (await readControl(queues, id)).undoneBy ?? (await freeUndoId(queues, id));
    // Written first: from here on the run cannot be resumed, even when we die before the next line.
    await writeUndoneBy(queues, id, undoneBy);
    const request = {
      workflow,
      databases: data.databases,
      options: data.options,
      by: steering.by,
      version: steering.version,
    };
    await setBudgets(queues, steering.budgets);
    await addRun(queues, undoneBy, runData(request, 'onCancel', id));
    return undoneBy;
  });
}

/** A run may be cancelled, resumed, and cancelled again. */
async function freeUndoId(queues: Queues, id: string): Promise<string> {
  for (let number = 1; ; number += 1) {
    const undoId = number === 1 ? `${id}-undo` : `${id}-undo-${number}`;
    if (!(await isRun(queues, undoId))) return undoId;
  }
}

export interface RetryResult {
  /** Failed steps that are tried again, with a whole series of attempts. Empty: nothing had failed. */
  readonly retried: readonly StepName[];
  /** Steps that somebody had removed from the queue and that are put back. */
  readonly restored: readonly StepName[];
  /** Whether the run itself had failed and goes on. */
  readonly run: boolean;
}

/**
 * Goes on with a cancelled run where it was: what was cancelled or failed is tried again, what succeeded is not repeated.
 * @throws PgconvoyError when it is not cancelled, is still stopping, was taken back, or another run works on its databases.
 */
export async function resumeRun(queues: Queues, id: string, steering: Steering): Promise<RetryResult> {
  return reach(queues, () =>
    withRunsLocked(queues, async () => {
      const run = await readRun(queues, id);
      const job = await runJob(queues, id);
      await refuseResume(queues, run);
      await refuseConflicts(queues, job.data, id);
      await setBudgets(queues, steering.budgets);
      await clearCancel(queues, id);
      return tryAgain(queues, id, steering, {});
    }),
  );
}

async function refuseResume(queues: Queues, run: RunView): Promise<void> {
  const refuse = (message: string, hint: string) => new PgconvoyError(message, { hint, exitCode: ExitCode.usage });
  if (!run.cancel) {
    throw refuse(
      `Run ${run.id} is not cancelled, it is ${describe(run)}.`,
      `pgconvoy status ${run.id} shows it; pgconvoy retry ${run.id} tries failed steps again.`,
    );
  }
  if ((await activeRuns(queues)).has(run.id)) {
    throw refuse(
      `Run ${run.id} is still being cancelled: a step has not stopped yet.`,
      `Try again in a moment; pgconvoy status ${run.id} shows the step.`,
    );
  }
  if (run.undoneBy === undefined) return;
  const [undo] = await queues.store.jobs([{ queue: 'run', id: run.undoneBy }]);
  if (!undo?.exists) {
    throw refuse(
      `The cancel of run ${run.id} was interrupted.`,
      `Complete it with pgconvoy cancel ${run.id}, then resume.`,
    );
  }
  const finish = finishOf(undo);
  if (finish === undefined) {
    throw refuse(
      `Run ${run.undoneBy} is still taking back what ${run.id} has done.`,
      `See it with pgconvoy status ${run.undoneBy}, and resume when it is completed.`,
    );
  }
  if (finish === 'failed' || changedAnything(undo)) {
    throw refuse(
      `Run ${run.undoneBy} has taken back some of what ${run.id} had done: its later steps cannot go on from there.`,
      `Start a new run (pgconvoy ${run.workflow}): it finds what is done and does the rest.`,
    );
  }
}

const changedAnything = (undo: JobFields): boolean =>
  undo.returnvalue !== null && (JSON.parse(undo.returnvalue) as RunSummary).changed > 0;

/**
 * Tries what has failed again; what succeeded is not repeated.
 * @throws PgconvoyError when the run is cancelled or ended, or the filter names no step of it.
 */
export async function retrySteps(
  queues: Queues,
  id: string,
  steering: Retrying,
  filter: StepFilter = {},
): Promise<RetryResult> {
  return reach(queues, async () => {
    const run = await readRun(queues, id);
    if (run.cancel) {
      throw new PgconvoyError(`Run ${id} is cancelled.`, {
        hint: `pgconvoy resume ${id} goes on with it.`,
        exitCode: ExitCode.usage,
      });
    }
    requireMatch(run, filter);
    if (run.state === 'completed') return { retried: [], restored: [], run: false };
    await setBudgets(queues, steering.budgets);
    // A run that has failed, or that its checks hold up, may have lost its databases to another one.
    return withRunsLocked(queues, async () => {
      await refuseConflicts(queues, (await runJob(queues, id)).data, id);
      return tryAgain(queues, id, steering, filter);
    });
  });
}

/**
 * Tries one failed job again, by its id: a step, or the run itself. Whatever else `retrySteps` sees to is seen to.
 * @throws PgconvoyError when it has not failed, or its run is cancelled, ended or unknown.
 */
export async function retryJob(queues: Queues, id: string, steering: Retrying): Promise<RetryResult> {
  const run = id.includes('.') ? runOf(id) : id;
  const result = await retrySteps(queues, run, steering, { id });
  if (result.retried.length > 0 || result.run) return result;
  throw new PgconvoyError(`${id} has not failed, or somebody was quicker: there is nothing to try again.`, {
    hint: `pgconvoy status ${run} shows it.`,
    exitCode: ExitCode.usage,
  });
}

/** Which of the failed steps: all that fit everything that is said. */
interface StepFilter {
  readonly database?: string;
  readonly step?: string;
  /** Of the job; a run's own names no step. */
  readonly id?: string;
}

const fits = (
  { database, step, id }: StepFilter,
  one: { readonly id: string; readonly database: string | undefined; readonly key: string; readonly operation: string },
): boolean =>
  (database === undefined || one.database === database) &&
  (step === undefined || one.key === step || one.operation === step) &&
  (id === undefined || one.id === id);

function requireMatch(run: RunView, filter: StepFilter): void {
  const { database, step, id } = filter;
  if (id === run.id) return;
  if (stepsOf(run).some((one) => fits(filter, one))) return;
  if (database === undefined && step === undefined && id === undefined) return;
  const what = [
    id === undefined ? undefined : `step with the id "${id}"`,
    step === undefined ? undefined : `step "${step}"`,
    database === undefined ? undefined : `database "${database}"`,
  ]
    .filter(Boolean)
    .join(' of ');
  throw new PgconvoyError(`Run ${run.id} has no ${what}.`, {
    hint: `pgconvoy status ${run.id} shows its databases and steps.`,
    exitCode: ExitCode.usage,
  });
}

async function tryAgain(queues: Queues, id: string, steering: Retrying, filter: StepFilter): Promise<RetryResult> {
  const job = await runJob(queues, id);
  const restored = await putBack(queues, id, steering);
  const places = placesOf(id, job.data).filter((place) => place.stage <= (progressOf(job).added ?? -1) + 1);
  const chosen = places.filter((place) =>
    fits(filter, {
      id: place.id,
      database: place.database?.name,
      key: place.step.key,
      operation: place.step.operation,
    }),
  );
  const jobs = await queues.store.jobs(chosen.map((place) => ({ queue: place.step.queue, id: place.id })));
  const retried: StepName[] = [];
  for (const [index, place] of chosen.entries()) {
    if (finishOf(jobs[index]!) !== 'failed') continue;
    const failed = await queues[place.step.queue].getJob(place.id);
    await failed?.retry('failed', { resetAttemptsMade: true });
    retried.push({ key: place.step.key, database: place.database?.name });
  }
  const failedRun = await job.isFailed();
  if (failedRun) await job.retry('failed', { resetAttemptsMade: true });
  return { retried, restored, run: failedRun };
}

/** Adds the lanes that lack a step again: ids are the same, so only what is missing comes back. */
async function putBack(queues: Queues, id: string, steering: Retrying): Promise<readonly StepName[]> {
  const job = await runJob(queues, id);
  const added = progressOf(job).added ?? -1;
  const places = placesOf(id, job.data).filter((place) => place.stage <= added);
  const jobs = await queues.store.jobs(places.map((place) => ({ queue: place.step.queue, id: place.id })));
  const gone = places.filter((_, index) => !jobs[index]?.exists);
  const gates = await goneGates(queues, id, job.data, added);
  if (gone.length === 0 && gates.length === 0) return [];
  const stages = stagesOfRun(id, job.data, steering.workflows);
  for (const index of new Set([...gone.map((place) => place.stage), ...gates])) {
    const lanes = new Map(
      gone.filter((place) => place.stage === index).map((place) => [place.database?.oid, place.database]),
    );
    await addStage(queues, id, job.data, stages[index]!, [...lanes.values()]);
  }
  return gone.map((place) => ({ key: place.step.key, database: place.database?.name }));
}

async function goneGates(queues: Queues, id: string, data: RunData, added: number): Promise<readonly number[]> {
  const gates = data.stages.flatMap((stage, index) => (stage.kind === 'gate' && index <= added ? [index] : []));
  const jobs = await queues.store.jobs(gates.map((index) => ({ queue: 'gate', id: gateId(id, index) })));
  return gates.filter((_, position) => !jobs[position]?.exists);
}

/**
 * Lets a run pass the gate it waits at, and returns the gate's title.
 * @throws PgconvoyError when it waits at none: not yet, already approved (by whom and when), cancelled, ended.
 */
export async function approveRun(queues: Queues, id: string, by: string): Promise<{ readonly title: string }> {
  return reach(queues, async () => {
    const run = await readRun(queues, id);
    const refuse = (message: string, hint: string) => new PgconvoyError(message, { hint, exitCode: ExitCode.usage });
    if (run.cancel) throw refuse(`Run ${id} is cancelled.`, `pgconvoy resume ${id} goes on with it; then approve.`);
    const gate = run.stages.find((stage) => stage.kind === 'gate' && stage.state === 'waiting-approval');
    if (gate && (await writeApproval(queues, id, gate.index, by))) {
      await releaseGate(queues, id, gate.index);
      return { title: gate.title };
    }
    const approved = run.stages.findLast((stage) => stage.kind === 'gate' && stage.approval !== undefined);
    // Whoever approved it may have died before the next line.
    if (approved) await releaseGate(queues, id, approved.index);
    const next = run.stages.find((stage) => stage.kind === 'gate' && stage.state === 'pending');
    if (next) {
      throw refuse(
        `Run ${id} does not wait for an approval yet: it is ${describe(run)}, and "${next.title}" comes later.`,
        `pgconvoy status ${id} --watch shows when it waits.`,
      );
    }
    const approval = approved && (approved.approval ?? (await readApproval(queues, id, approved.index)));
    if (approved && approval) {
      throw refuse(
        `"${approved.title}" of run ${id} is already approved, by ${approval.by} at ${new Date(approval.at).toISOString()}.`,
        `pgconvoy status ${id} shows how it goes on.`,
      );
    }
    throw refuse(`Run ${id} waits for no approval: it is ${describe(run)}.`, `pgconvoy status ${id} shows it.`);
  });
}

const stepsOf = (run: RunView) => run.stages.flatMap((stage) => stage.steps);
const nameOf = (step: StepName): StepName => ({ key: step.key, database: step.database });
const describe = (run: RunView): string =>
  run.state === 'failed-steps' ? 'held up by failed steps' : run.state.replace('-', ' for ');
