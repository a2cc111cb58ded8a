import type { Job } from 'bullmq';
import { ExitCode, PgconvoyError } from '../errors.ts';
import { readControls } from './control-record.ts';
import { progressOf } from './queues.ts';
import type { Queues, RunData } from './queues.ts';
import { readRun } from './read-run.ts';
import { activeRuns } from './run-job.ts';

/** States of a run's job in which its steps may still run. */
const UNFINISHED = ['active', 'wait', 'prioritized', 'delayed', 'waiting-children'] as const;

/**
 * Two runs that change the same database would undo each other's assumptions. A run that its checks hold up before it has changed
 * anything is in nobody's way: what mends the cause may be a run itself.
 * @param except the run that asks for itself (it is resumed, or retried after it failed)
 * @throws PgconvoyError naming the other run and what to do
 */
export async function refuseConflicts(queues: Queues, data: RunData, except: string | undefined): Promise<void> {
  if (data.changesFrom === null) return;
  const wanted = new Set(data.databases.map((database) => database.oid));
  const jobs: Job<RunData>[] = (await queues.run.getJobs([...UNFINISHED])).filter(
    (job) => job?.id !== undefined && job.id !== except,
  );
  const others = jobs.filter(
    (job) => job.data.changesFrom !== null && job.data.databases.some((database) => wanted.has(database.oid)),
  );
  const controls = await readControls(
    queues,
    others.map((job) => job.id!),
  );
  const active = others.length > 0 ? await activeRuns(queues) : new Set<string>();
  for (const job of others) {
    const cancel = controls.get(job.id!)?.cancel;
    if (!active.has(job.id!) && (cancel || (await isBlockedBeforeAnyChange(queues, job)))) continue;
    const shared = job.data.databases
      .filter((database) => wanted.has(database.oid))
      .map((database) => `"${database.name}"`);
    const named =
      shared.length > 3 ? `${shared.slice(0, 3).join(', ')} and ${shared.length - 3} more` : shared.join(', ');
    throw new PgconvoyError(
      cancel
        ? `Run ${job.id} (${job.data.workflow}) is cancelled, but a step of it is still stopping; it works on the same databases: ${named}.`
        : `Run ${job.id} (${job.data.workflow}, started by ${job.data.by}) is not finished and works on the same databases: ${named}.`,
      {
        hint: cancel
          ? `Try again in a moment; pgconvoy status ${job.id} shows the step.`
          : `See it with pgconvoy status ${job.id}; wait for its end, or give it up with pgconvoy cancel ${job.id}.`,
        exitCode: ExitCode.usage,
      },
    );
  }
}

async function isBlockedBeforeAnyChange(queues: Queues, job: Job<RunData>): Promise<boolean> {
  const { added } = progressOf(job);
  if (added === undefined || job.data.changesFrom === null || added >= job.data.changesFrom) return false;
  const run = await readRun(queues, job.id!);
  const steps = run.stages.flatMap((stage) => stage.steps);
  return run.state === 'failed-steps' && !steps.some(({ state }) => ['waiting', 'active', 'delayed'].includes(state));
}
