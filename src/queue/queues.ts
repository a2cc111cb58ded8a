import type { FlowProducer, Job, JobsOptions, Queue } from 'bullmq';
import type { Config } from '../config/schema.ts';
import type { PlannedStep, SelectedDatabase } from '../engine/plan.ts';
import type { RunOptions } from '../engine/workflow.ts';
import type { Logger } from '../log.ts';
import { connect } from './connection.ts';
import type { HasStore, Identify, Profile, QueueConfig } from './store.ts';
import type { StepError } from './types.ts';

/** One queue per class of work: a global concurrency holds per queue. */
export const STEP_QUEUES = ['operation', 'copy', 'cutover'] as const satisfies readonly PlannedStep['queue'][];
export const QUEUES = ['run', 'gate', ...STEP_QUEUES, 'notify'] as const;
export type QueueName = (typeof QUEUES)[number];

/** What the job of a run holds. Never changed: what happens to a run later is in its control record and its progress. */
export interface RunData {
  readonly workflow: string;
  readonly title: string;
  /** `onCancel`: the run takes back what run `undoes` has done. */
  readonly part: 'rows' | 'onCancel';
  readonly undoes?: string;
  /** Of the steps: another version of pgconvoy whose workflow differs refuses to go on with this run. */
  readonly fingerprint: string;
  /** The first stage that changes anything; null when the workflow only looks: then it gets in nobody's way. */
  readonly changesFrom: number | null;
  readonly databases: readonly SelectedDatabase[];
  readonly options: RunOptions;
  readonly by: string;
  readonly version: string;
  /** What there is to show, so that a run can be read without its workflow. */
  readonly stages: readonly StageOutline[];
}
/** What the job of a run keeps in its progress. */
export interface RunProgress {
  /** Index of the last stage whose lanes were all added. */
  readonly added?: number;
  readonly error?: StepError;
}
export const progressOf = (job: Pick<Job, 'progress'>): RunProgress =>
  typeof job.progress === 'object' && job.progress !== null ? (job.progress as RunProgress) : {};

export interface StageOutline {
  readonly kind: 'cluster' | 'database' | 'gate';
  readonly title: string;
  readonly steps: readonly Pick<PlannedStep, 'key' | 'operation' | 'title' | 'queue'>[];
}

/** What the job of a step holds: names only. */
export interface StepData {
  readonly run: string;
  readonly workflow: string;
  readonly stage: number;
  readonly step: string;
  readonly database?: SelectedDatabase;
}

export interface Queues extends HasStore, Readonly<Record<QueueName, Queue>> {
  /** Without user and password, for messages. */
  readonly address: string;
  readonly flow: FlowProducer;
  close(): Promise<void>;
}

/**
 * Nothing is ever removed by itself: removing a failed child would release its parent, and a cutover could start that
 * way. Nor is any failure option set: with the default a retry days later still carries the run on.
 */
export const jobOptions = {
  removeOnComplete: false,
  removeOnFail: false,
  stackTraceLimit: 0,
  keepLogs: 500,
} satisfies JobsOptions;

/**
 * Opens the queues.
 * @param identify says what the queue's server must not be
 * @throws ConfigError when the server cannot be the queue's; UnreachableError when the queue is down or refuses us.
 */
export async function openQueues(
  config: QueueConfig,
  profile: Profile,
  log?: Logger,
  identify?: Identify,
): Promise<Queues> {
  const store = await connect(config, profile, identify);
  const quiet = (error: Error) => log?.debug({ err: error }, 'queue connection');
  const queue = (name: string) => store.queue(name).on('error', quiet);
  const flow = store.flow().on('error', quiet);
  const queues = {
    run: queue('run'),
    gate: queue('gate'),
    operation: queue('operation'),
    copy: queue('copy'),
    cutover: queue('cutover'),
    notify: queue('notify'),
  };
  return {
    store,
    address: store.address,
    ...queues,
    flow,
    async close() {
      await Promise.allSettled([flow.close(), ...Object.values(queues).map((one) => one.close())]);
      await store.close();
    },
  };
}

/** How many jobs of a class run at once, over all workers. */
export async function setBudgets(queues: Queues, budgets: Config['budgets']): Promise<void> {
  await Promise.all([
    queues.operation.setGlobalConcurrency(budgets.operations),
    queues.copy.setGlobalConcurrency(budgets.copies),
    queues.cutover.setGlobalConcurrency(budgets.cutovers),
    queues.notify.setGlobalConcurrency(1),
  ]);
}

/** `RUN.STAGE.<database oid|cluster>.KEY`: no colon, not an integer, and the same whenever a lane is added again. */
export const stepId = (run: string, stage: number, database: SelectedDatabase | undefined, key: string): string =>
  `${run}.${stage}.${database?.oid ?? 'cluster'}.${key}`;
export const gateId = (run: string, stage: number): string => `${run}.${stage}.gate`;
/** The run a step or gate belongs to. */
export const runOf = (id: string): string => id.slice(0, id.indexOf('.'));

/** The lanes of a stage: one per database, or one for the cluster. */
export const lanesOf = (
  stage: StageOutline,
  databases: readonly SelectedDatabase[],
): readonly (SelectedDatabase | undefined)[] =>
  stage.kind === 'gate' ? [] : stage.kind === 'cluster' ? [undefined] : databases;

/** The ids that must be among the processed children of the run before the next stage may begin. */
export function lastIdsOf(
  run: string,
  index: number,
  stage: StageOutline,
  databases: readonly SelectedDatabase[],
): readonly string[] {
  if (stage.kind === 'gate') return [gateId(run, index)];
  const last = stage.steps.at(-1);
  return last ? lanesOf(stage, databases).map((database) => stepId(run, index, database, last.key)) : [];
}

/** Whether a step of a cutover is in the hands of a worker, or will be tried again. */
export async function isCuttingOver({ cutover }: Queues): Promise<boolean> {
  const { active = 0, delayed = 0 } = await cutover.getJobCounts('active', 'delayed');
  return active + delayed > 0;
}

/** Whether a step of a cutover has begun, or could, and has not ended well. */
export async function isCutoverUnfinished({ cutover }: Queues): Promise<boolean> {
  const counts = await cutover.getJobCounts('active', 'delayed', 'failed', 'wait', 'prioritized', 'waiting-children');
  return Object.values(counts).some((count) => count > 0);
}
