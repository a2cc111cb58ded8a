import { readControls } from './control-record.ts';
import type { ControlRecord } from './control-record.ts';
import { QUEUES, runOf, STEP_QUEUES } from './queues.ts';
import type { QueueName, Queues, RunData } from './queues.ts';

/** Where the jobs of all runs are right now, in one round trip. What is finished is seen from the jobs themselves. */
interface Positions {
  readonly active: ReadonlySet<string>;
  readonly waiting: ReadonlySet<string>;
  /** When its time comes, in milliseconds since 1970. */
  readonly delayed: ReadonlyMap<string, number>;
  /** Runs with a step that failed for good. */
  readonly runsWithFailures: ReadonlySet<string>;
}

async function readPositions(queues: Queues): Promise<Positions> {
  const pipeline = queues.redis.pipeline();
  for (const name of QUEUES) {
    const queue = queues[name];
    pipeline.lrange(queue.toKey('active'), 0, -1);
    pipeline.lrange(queue.toKey('wait'), 0, -1);
    pipeline.zrange(queue.toKey('prioritized'), '0', '-1');
    pipeline.zrange(queue.toKey('delayed'), '0', '-1', 'WITHSCORES');
  }
  for (const name of STEP_QUEUES) pipeline.zrange(queues[name].toKey('failed'), '0', '-1');
  const lists = await replies<string[]>(pipeline);
  const active = new Set<string>();
  const waiting = new Set<string>();
  const delayed = new Map<string, number>();
  for (const index of QUEUES.keys()) {
    const [running = [], wait = [], prioritized = [], late = []] = lists.slice(index * 4, index * 4 + 4);
    for (const id of running) active.add(id);
    for (const id of wait) waiting.add(id);
    for (const id of prioritized) waiting.add(id);
    // BullMQ keeps the time in the upper bits of the score.
    for (let at = 0; at + 1 < late.length; at += 2) delayed.set(late[at]!, Math.floor(Number(late[at + 1]) / 0x1000));
  }
  const failed = lists.slice(QUEUES.length * 4).flat();
  return { active, waiting, delayed, runsWithFailures: new Set(failed.map(runOf)) };
}

const JOB_FIELDS = [
  'ats',
  'processedOn',
  'finishedOn',
  'failedReason',
  'returnvalue',
  'progress',
  'pb',
  'timestamp',
] as const;
export type JobFields = Readonly<Record<(typeof JOB_FIELDS)[number], string | null>> & { readonly exists: boolean };

/** The fields of many jobs, in a few round trips. */
export async function readJobs(
  queues: Queues,
  jobs: readonly { readonly queue: QueueName; readonly id: string }[],
): Promise<readonly JobFields[]> {
  const chunks: (readonly { readonly queue: QueueName; readonly id: string }[])[] = [];
  for (let start = 0; start < jobs.length; start += 2_000) chunks.push(jobs.slice(start, start + 2_000));
  const read = await Promise.all(
    chunks.map(async (chunk) => {
      const pipeline = queues.redis.pipeline();
      for (const { queue, id } of chunk) pipeline.hmget(queues[queue].toKey(id), ...JOB_FIELDS);
      return replies<(string | null)[]>(pipeline);
    }),
  );
  return read.flat().map((values) => {
    const field = (name: (typeof JOB_FIELDS)[number]) => values[JOB_FIELDS.indexOf(name)] ?? null;
    return {
      ats: field('ats'),
      processedOn: field('processedOn'),
      finishedOn: field('finishedOn'),
      failedReason: field('failedReason'),
      returnvalue: field('returnvalue'),
      progress: field('progress'),
      pb: field('pb'),
      timestamp: field('timestamp'),
      exists: field('timestamp') !== null,
    };
  });
}

/** A finished job keeps its `failedReason` or `returnvalue`; a retry removes them and `finishedOn`. */
export function finishOf(job: JobFields): 'completed' | 'failed' | undefined {
  if (job.finishedOn === null) return undefined;
  return job.returnvalue === null ? 'failed' : 'completed';
}

export async function replies<T>(pipeline: { exec(): Promise<[Error | null, unknown][] | null> }): Promise<T[]> {
  return ((await pipeline.exec()) ?? []).map(([error, value]) => {
    if (error) throw error;
    return value as T;
  });
}

export interface RunFacts {
  readonly id: string;
  readonly data: RunData;
  readonly control: ControlRecord;
  /** The job of the run itself. */
  readonly job: JobFields;
  readonly positions: Positions;
  /** The run that takes this one back, where there is one. */
  readonly undo?: { readonly finished: boolean };
}

/** What tells the state of each of these runs. */
export async function readFacts(
  queues: Queues,
  runs: readonly { readonly id: string; readonly data: RunData }[],
): Promise<readonly RunFacts[]> {
  const ids = runs.map((run) => run.id);
  const [controls, jobs, positions] = await Promise.all([
    readControls(queues, ids),
    readJobs(
      queues,
      ids.map((id) => ({ queue: 'run', id })),
    ),
    readPositions(queues),
  ]);
  const undoIds = [...controls.values()].flatMap((control) =>
    control.undoneBy === undefined ? [] : [control.undoneBy],
  );
  const undoJobs = await readJobs(
    queues,
    undoIds.map((id) => ({ queue: 'run', id })),
  );
  const undone = new Map(undoIds.map((id, index) => [id, undoJobs[index]!]));
  return runs.map(({ id, data }, index) => {
    const control = controls.get(id)!;
    const undo = control.undoneBy === undefined ? undefined : undone.get(control.undoneBy);
    return {
      id,
      data,
      control,
      job: jobs[index]!,
      positions,
      ...(undo ? { undo: { finished: finishOf(undo) !== undefined } } : {}),
    };
  });
}
