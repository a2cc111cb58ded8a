import type { Finding } from '../engine/finding.ts';
import type { OperationResult } from '../engine/run-operation.ts';
import type { Progress } from '../engine/operation.ts';
import type { OutageStep, PlannedStep, SelectedDatabase } from '../engine/plan.ts';
import type { RunOptions } from '../engine/workflow.ts';
import type { ExitCode } from '../errors.ts';
import type { Logger } from '../log.ts';

/**
 * - `running`: steps run or wait for a worker
 * - `waiting-approval`: all lanes are at a gate and wait for `approve`
 * - `failed-steps`: at least one step failed for good; the other lanes go on or are already at the barrier
 * - `cancelling`: cancelled, but a step is still stopping, or what a cancel has to take back is still being taken back
 * - `cancelled`: cancelled and nothing of it runs any more
 * - `completed`: every step succeeded
 * - `failed`: the run itself cannot go on (its `error` says why), whatever its steps do
 */
export type RunState =
  | 'running'
  | 'waiting-approval'
  | 'failed-steps'
  | 'cancelling'
  | 'cancelled'
  | 'completed'
  | 'failed';

/**
 * - `pending`: an earlier step of its lane or an earlier stage is not done
 * - `waiting`: its turn, waits for a free worker
 * - `delayed`: an attempt failed (`error` says why) and the next one has a time; or it waits for something somebody holds
 * - `cancelled`: the run was cancelled before the step was done
 */
export type StepState = 'pending' | 'waiting' | 'active' | 'delayed' | 'completed' | 'failed' | 'cancelled';

/** An error as it is kept in a job: never a stack trace, never a secret. */
export interface StepError {
  readonly name: string;
  readonly message: string;
  readonly hint: string;
  readonly exitCode: ExitCode;
}

/** One attempt of a step; times in milliseconds since 1970. */
export interface AttemptView {
  readonly attempt: number;
  readonly startedAt: number;
  readonly finishedAt?: number;
  readonly outcome?: 'completed' | 'failed' | 'retry' | 'wait' | 'cancelled' | 'handed-over';
}

/** A step of a write outage that was done once more within the job of a later one, since its databases had been given back. */
export interface RepeatedStep {
  /** Index of its stage. */
  readonly stage: number;
  readonly key: string;
  /** Undefined of a cluster step. */
  readonly database: string | undefined;
  /** How often that has changed something. */
  readonly times: number;
  /** What came of it the last time; milliseconds since 1970. */
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly changed: boolean;
  readonly changes?: unknown;
  readonly output: unknown;
  readonly findings: readonly Finding[];
}

export interface StepView {
  /** The job's id: `RUN.STAGE.<database oid|cluster>.KEY`. */
  readonly id: string;
  /** Index of its stage in `RunView.stages`. */
  readonly stage: number;
  /** Unique within its lane. */
  readonly key: string;
  readonly operation: string;
  readonly title: string;
  readonly queue: PlannedStep['queue'];
  /** Undefined in a cluster step. */
  readonly database: string | undefined;
  readonly state: StepState;
  /** How often it was started so far. */
  readonly attempts: number;
  /** Milliseconds since 1970. The start is the one of the latest attempt. */
  readonly startedAt?: number;
  readonly finishedAt?: number;
  /** Of a delayed step: when the next attempt begins. */
  readonly retryAt?: number;
  /** Name of the worker that has it or had it last. */
  readonly worker?: string;
  /** Of a completed step: whether anything had to be changed. */
  readonly changed?: boolean;
  /** From what to what, where its operation tells it. */
  readonly changes?: unknown;
  readonly progress?: Progress;
  /** Of a failed step, and of a delayed one (the last attempt's). */
  readonly error?: StepError;
  readonly findings: readonly Finding[];
  /** What the operation observed; undefined until it is completed. */
  readonly output?: unknown;
  readonly attemptTimes: readonly AttemptView[];
  /** Steps before it that it has done once more. */
  readonly repeated?: readonly RepeatedStep[];
}

export interface StageView {
  readonly index: number;
  readonly kind: 'cluster' | 'database' | 'gate';
  readonly title: string;
  /** `waiting-approval` only of a gate. */
  readonly state: 'pending' | 'running' | 'waiting-approval' | 'completed';
  /** In lane order, database after database; empty for a gate. */
  readonly steps: readonly StepView[];
  /** Of an approved gate. */
  readonly approval?: Approval;
}

export interface Approval {
  readonly by: string;
  readonly at: number;
}

export interface RunSummary {
  readonly changed: number;
  readonly unchanged: number;
  readonly findings: readonly Finding[];
  /** Milliseconds, from the first start to the last end of each stage (a gate: how long it was waited for). */
  readonly durations: readonly { readonly stage: number; readonly title: string; readonly milliseconds: number }[];
}

/** What a list of runs shows. */
export interface RunLine {
  readonly id: string;
  readonly workflow: string;
  readonly title: string;
  readonly state: RunState;
  readonly by: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly finishedAt?: number;
  readonly databases: number;
  /** Of a run that takes a cancelled one back. */
  readonly undoes?: string;
}

export interface RunView {
  readonly id: string;
  readonly workflow: string;
  readonly title: string;
  readonly state: RunState;
  /** Who started it. */
  readonly by: string;
  /** Version of pgconvoy that started it. */
  readonly version: string;
  readonly options: RunOptions;
  readonly databases: readonly SelectedDatabase[];
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly startedAt?: number;
  readonly finishedAt?: number;
  readonly stages: readonly StageView[];
  /** Index of the first stage that is not completed; undefined when all are. */
  readonly stage?: number;
  readonly cancel?: Approval;
  /** The run that takes back what a cancel has to take back (`Workflow.onCancel`). */
  readonly undoneBy?: string;
  /** Of such a run: the cancelled run. */
  readonly undoes?: string;
  /** Of a completed run. */
  readonly summary?: RunSummary;
  /** Of a run in state `failed`. */
  readonly error?: StepError;
}

export interface LogLine {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly step: string;
  /** Index of the step's stage. */
  readonly stage: number;
  readonly database: string | undefined;
  readonly text: string;
}

/** A step that was named by a command: retried, cancelled, … */
export interface StepName {
  readonly key: string;
  readonly database: string | undefined;
}

/** What the queue hands to whoever executes one step. */
export interface StepExecution {
  readonly run: {
    readonly id: string;
    readonly workflow: string;
    readonly databases: readonly SelectedDatabase[];
    readonly options: RunOptions;
  };
  /** Undefined in a cluster step. */
  readonly database: SelectedDatabase | undefined;
  readonly step: PlannedStep;
  /** 1 for the first start. */
  readonly attempt: number;
  /** Aborted on cancel, on shutdown, and when the job may have gone to another worker. */
  readonly signal: AbortSignal;
  /** Bound to run, workflow, step, database, attempt. */
  readonly log: Logger;
  /** May be called at any rate; never throws, never waits. */
  readonly progress: (progress: Progress) => void;
  /** A line in the job's log. Never throws, never waits. */
  readonly note: (line: string) => void;
  /** Keeps findings with the job, so that a step that they block still shows them. */
  readonly findings: (findings: readonly Finding[]) => Promise<void>;
  /** Keeps with the job what came of a step that it has done once more. Never throws, never waits. */
  readonly repeated: (step: Omit<RepeatedStep, 'times' | 'finishedAt'>) => void;
  /** Of a step inside of a write outage: those of the outage before it, in order, and those that lead to it. */
  readonly outage?: readonly OutageStep[] | undefined;
  /** It had failed for good or was cancelled, and a person wants it tried again. */
  readonly asked?: boolean;
  /** That was so for this attempt, or for one before it. */
  readonly again?: boolean;
}
export type Execute = (execution: StepExecution) => Promise<OperationResult>;

/**
 * Called when a step has failed for good, before that is kept.
 * @returns what became of it, a sentence to add to the error
 */
export type FailedForGood = (execution: StepExecution, error: StepError) => Promise<string | undefined>;
