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
  const active = await queues.store.inState([...STEP_QUEUES, 'run'], ['active']);
  return new Set(active.map(({ queue, id }) => (queue === 'run' ? id : runOf(id))));
}
