import type { OperationResult } from '../engine/run-operation.ts';
import { QUEUES, STEP_QUEUES } from './queues.ts';
import type { QueueName, Queues } from './queues.ts';

/** What can be counted, for metrics. */

export interface JobCount {
  readonly queue: QueueName;
  /** As BullMQ names it. */
  readonly state: string;
  readonly count: number;
}

/** How many jobs are in which state. */
export async function countJobs(queues: Queues): Promise<readonly JobCount[]> {
  const counts = await Promise.all(QUEUES.map((queue) => queues[queue].getJobCounts()));
  return QUEUES.flatMap((queue, index) =>
    Object.entries(counts[index]!).map(([state, count]) => ({ queue, state, count })),
  );
}

export interface FinishedStep {
  readonly key: string;
  /** Of its last attempt. */
  readonly milliseconds: number;
  readonly changed: boolean;
  readonly output: unknown;
}

/** A look again begins so much before the newest of the last one: workers' clocks differ. */
const OVERLAP_MS = 10_000;

/** Returns with each call the steps that were completed since the last one, each of them once. */
export function finishedSteps(queues: Queues): () => Promise<readonly FinishedStep[]> {
  const seen = new Map(STEP_QUEUES.map((queue) => [queue, { newest: 0, ids: new Set<string>() }]));
  return async () => {
    const found = await Promise.all(
      STEP_QUEUES.map(async (queue) => {
        const before = seen.get(queue)!;
        const listed = await queues.store.completedSince(queue, before.newest - OVERLAP_MS);
        const ids = listed.map(({ id }) => id);
        seen.set(queue, { newest: listed.at(-1)?.at ?? before.newest, ids: new Set(ids) });
        return ids.filter((id) => !before.ids.has(id)).map((id) => ({ queue, id }));
      }),
    );
    const steps = found.flat();
    const jobs = await queues.store.jobs(steps);
    return steps.flatMap(({ id }, index) => {
      const { processedOn, finishedOn, returnvalue } = jobs[index]!;
      if (processedOn === null || finishedOn === null || returnvalue === null) return [];
      const result = JSON.parse(returnvalue) as OperationResult | null;
      return [
        {
          key: id.split('.').slice(3).join('.'),
          milliseconds: Number(finishedOn) - Number(processedOn),
          changed: result?.changed === true,
          output: result?.output,
        },
      ];
    });
  };
}
