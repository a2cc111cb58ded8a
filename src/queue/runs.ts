import { randomInt } from 'node:crypto';
import type { Config } from '../config/schema.ts';
import { stagesOf } from '../engine/plan.ts';
import type { SelectedDatabase } from '../engine/plan.ts';
import type { RunOptions, Workflow } from '../engine/workflow.ts';
import { PgconvoyError } from '../errors.ts';
import { refuseConflicts } from './conflicts.ts';
import { jobOptions, setBudgets } from './queues.ts';
import type { Queues, RunData } from './queues.ts';
import { firstChange, fingerprintOf, outlineOf, rowsOf } from './run-plan.ts';
import { reach } from './store.ts';

export interface RunRequest {
  readonly workflow: Workflow;
  readonly databases: readonly SelectedDatabase[];
  readonly options: RunOptions;
  /** Who starts it, as `user@host`. */
  readonly by: string;
  /** Of pgconvoy. */
  readonly version: string;
  readonly budgets: Config['budgets'];
}

/**
 * Puts a run into the queue and returns its id; a worker takes it from there.
 * @throws PgconvoyError when an unfinished run changes one of the same databases; UnreachableError when the queue is down.
 */
export async function enqueueRun(queues: Queues, request: RunRequest): Promise<string> {
  return reach(queues, () =>
    withRunsLocked(queues, async () => {
      const data = runData(request, 'rows');
      await refuseConflicts(queues, data, undefined);
      await setBudgets(queues, request.budgets);
      const id = await freeId(queues, data.workflow);
      await addRun(queues, id, data);
      return id;
    }),
  );
}

export function runData(request: Omit<RunRequest, 'budgets'>, part: RunData['part'], undoes?: string): RunData {
  const rows = rowsOf(request.workflow, part);
  const stages = stagesOf(rows, request.options);
  return {
    workflow: request.workflow.name,
    title: part === 'rows' ? request.workflow.title : `Take back what ${undoes} has done`,
    part,
    ...(undoes === undefined ? {} : { undoes }),
    fingerprint: fingerprintOf(stages),
    changesFrom: firstChange(rows, request.options),
    databases: request.databases.map(({ oid, name }) => ({ oid, name })),
    options: request.options,
    by: request.by,
    version: request.version,
    stages: outlineOf(stages),
  };
}

/** Adding a run that is there already changes nothing. Ten attempts: only the queue itself can make a run's job stumble. */
export async function addRun(queues: Queues, id: string, data: RunData): Promise<void> {
  await queues.run.add(data.workflow, data, { ...jobOptions, jobId: id, attempts: 10, backoff: { type: 'steady' } });
}

/** Short, sorts by time, says what it is: `upgrade-1123-0412-k3f` (month, day, hour and minute in UTC). */
export function runId(workflow: string, at: Date, random: string): string {
  const digits = at.toISOString().replace(/\D/g, '');
  return `${workflow}-${digits.slice(4, 8)}-${digits.slice(8, 12)}-${random}`;
}

async function freeId(queues: Queues, workflow: string): Promise<string> {
  for (;;) {
    const id = runId(
      workflow,
      new Date(),
      randomInt(36 ** 3)
        .toString(36)
        .padStart(3, '0'),
    );
    // BullMQ would silently keep the older job.
    if (!(await isRun(queues, id))) return id;
  }
}

/** Whether there is a job of that id in the queue of runs. */
export async function isRun({ store }: Queues, id: string): Promise<boolean> {
  const [job] = await store.jobs([{ queue: 'run', id }]);
  return job?.exists === true;
}

/** One at a time over all machines: looking for a conflict and adding the run must not be interleaved. */
export async function withRunsLocked<T>(queues: Queues, body: () => Promise<T>): Promise<T> {
  const alone = await queues.store.oneAtATime(15_000, body);
  if (alone) return alone.result;
  throw new PgconvoyError('Another command has been starting a run for 15 s.', {
    hint: 'Try again in a moment.',
    disposition: 'retry',
  });
}
