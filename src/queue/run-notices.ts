import type { Job } from 'bullmq';
import type { Stage } from '../engine/plan.ts';
import type { Notice } from './notices.ts';
import type { Queues, RunData } from './queues.ts';
import { hasOpened, opensDatabases } from './opening.ts';
import { readRun } from './read-run.ts';
import type { StepError } from './types.ts';

/** What people are told of a run as a whole. */

type RunJob = Pick<Job<RunData>, 'id' | 'data'>;

/** The stage in which databases are fenced and opened; undefined where a run does not do that. */
export const cutoverOf = (stages: readonly Stage[]): Stage | undefined => {
  const opens = stages.some((stage) => stage.kind !== 'gate' && stage.steps.some(opensDatabases));
  return stages.find(
    (stage) => opens && stage.kind !== 'gate' && stage.steps.some(({ policy }) => policy.startsOutage),
  );
};

export const waitsForApproval = (job: RunJob, { index, title }: Pick<Stage, 'index' | 'title'>): Notice => ({
  ...aboutRun(job, `${index}.approval`),
  event: 'waiting-approval',
  what: `run ${job.id} waits for an approval: ${title}`,
  next: `pgconvoy status ${job.id} shows where it stands; pgconvoy approve ${job.id} lets it go on.`,
});

export const runFailed = (job: RunJob, error: StepError): Notice => ({
  ...aboutRun(job, `failed.${Date.now()}`),
  event: 'failed-step',
  what: `run ${job.id} cannot go on`,
  why: error.message,
  next: error.hint,
});

export const cutoverBegun = (job: RunJob): Notice => ({
  ...aboutRun(job, 'cutover'),
  event: 'cutover-begun',
  what: `the cutover of ${databases(job.data.databases.length)} ${isBack(job) ? 'back to the source ' : ''}begins`,
  next: `pgconvoy status ${job.id} --watch follows it; pgconvoy cancel ${job.id} gives back what is not open yet.`,
});

/** At the end of such a run: how many databases it has opened, and how long nobody could write to them. */
export async function cutoverDone(queues: Queues, job: RunJob): Promise<Notice> {
  const { stages } = await readRun(queues, job.id!);
  const opened = stages.flatMap(({ steps }) => steps).filter(hasOpened);
  const outages = opened.flatMap(({ output }) => (output as { readonly outageMs?: number } | null)?.outageMs ?? []);
  const longest = outages.length === 0 ? '' : `; the longest write outage was ${seconds(Math.max(...outages))}`;
  return {
    ...aboutRun(job, 'done'),
    event: 'cutover-done',
    what: `${databases(opened.length)} ${opened.length === 1 ? 'is' : 'are'} ${isBack(job) ? 'back on the source' : 'open on the target'}${longest}`,
    next: isBack(job)
      ? 'pgconvoy stop switches over again, once the cause is repaired.'
      : `pgconvoy status shows whether rows travel back; pgconvoy rollback goes back, pgconvoy finish ends it for good.`,
  };
}

const aboutRun = ({ id, data }: RunJob, what: string) => ({
  id: `${id}.${what}`,
  run: id!,
  workflow: data.workflow,
  at: Date.now(),
});

const isBack = ({ data }: RunJob): boolean => data.options['back'] === true;
const databases = (count: number): string => `${count} ${count === 1 ? 'database' : 'databases'}`;
const seconds = (milliseconds: number): string => `${(milliseconds / 1_000).toFixed(1)} s`;
