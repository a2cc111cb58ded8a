import type { Job } from 'bullmq';
import { ExitCode, PgconvoyError } from '../errors.ts';
import { runOf, STEP_QUEUES } from './queues.ts';
import type { Queues, RunData } from './queues.ts';

/**
 * The job of a run.
 * @throws PgconvoyError when there is none of that name.
 */
export async function runJob(queues: Queues, id: string): Promise<Job<RunData>> {
  const job = id.includes(':') ? undefined : ((await queues.run.getJob(id)) as Job<RunData> | undefined);
  if (!job) {
    throw new PgconvoyError(`There is no run "${id}" in the queue at ${queues.address}.`, {
      hint: 'pgconvoy runs lists them.',
      exitCode: ExitCode.usage,
    });
  }
  return job;
}

/** Runs of which a worker has a step, or the run's own job, in its hands right now. */
export async function activeRuns(queues: Queues): Promise<ReadonlySet<string>> {
  const names = [...STEP_QUEUES, 'run'] as const;
  const lists = await Promise.all(names.map((name) => queues.redis.lrange(queues[name].toKey('active'), 0, -1)));
  return new Set(lists.flatMap((ids, index) => (names[index] === 'run' ? ids : ids.map(runOf))));
}
