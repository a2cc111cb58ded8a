import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Job } from 'bullmq';
import type { Config } from '../config/schema.ts';
import { stagesOf } from '../engine/plan.ts';
import type { SelectedDatabase } from '../engine/plan.ts';
import type { Workflow } from '../engine/workflow.ts';
import { ExitCode, PgconvoyError } from '../errors.ts';
import { readControls } from './control-record.ts';
import { reach } from './connection.ts';
import { jobOptions, runOf, setBudgets, STEP_QUEUES } from './queues.ts';
import type { Queues, RunData } from './queues.ts';
import { changesSomething, fingerprintOf, outlineOf, rowsOf } from './run-plan.ts';

export interface RunRequest {
  readonly workflow: Workflow;
  readonly databases: readonly SelectedDatabase[];
  readonly options: Readonly<Record<string, boolean>>;
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
  const stages = stagesOf(rows);
  return {
    workflow: request.workflow.name,
    title: part === 'rows' ? request.workflow.title : `Take back what ${undoes} has done`,
    part,
    ...(undoes === undefined ? {} : { undoes }),
    fingerprint: fingerprintOf(stages),
    changes: changesSomething(rows),
    databases: request.databases.map(({ oid, name }) => ({ oid, name })),
    options: request.options,
    by: request.by,
    version: request.version,
    stages: outlineOf(stages),
  };
}

/** Adding a run that is there already changes nothing. Ten attempts: only Redis itself can make a run's job stumble. */
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
    if ((await queues.redis.exists(queues.run.toKey(id))) === 0) return id;
  }
}

/** States of a run's job in which its steps may still run. */
const UNFINISHED = ['active', 'wait', 'prioritized', 'delayed', 'waiting-children'] as const;

/**
 * Two runs that change the same database would undo each other's assumptions.
 * @param except the run that asks for itself (it is resumed, or retried after it failed)
 * @throws PgconvoyError naming the other run and what to do
 */
export async function refuseConflicts(queues: Queues, data: RunData, except: string | undefined): Promise<void> {
  if (!data.changes) return;
  const wanted = new Set(data.databases.map((database) => database.oid));
  const jobs: Job<RunData>[] = (await queues.run.getJobs([...UNFINISHED])).filter(
    (job) => job?.id !== undefined && job.id !== except,
  );
  const others = jobs.filter(
    (job) => job.data.changes && job.data.databases.some((database) => wanted.has(database.oid)),
  );
  const controls = await readControls(
    queues,
    others.map((job) => job.id!),
  );
  const active = others.length > 0 ? await activeRuns(queues) : new Set<string>();
  for (const job of others) {
    const cancel = controls.get(job.id!)?.cancel;
    if (cancel && !active.has(job.id!)) continue;
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

/** Runs of which a worker has a step, or the run's own job, in its hands right now. */
export async function activeRuns(queues: Queues): Promise<ReadonlySet<string>> {
  const names = [...STEP_QUEUES, 'run'] as const;
  const lists = await Promise.all(names.map((name) => queues.redis.lrange(queues[name].toKey('active'), 0, -1)));
  return new Set(lists.flatMap((ids, index) => (names[index] === 'run' ? ids : ids.map(runOf))));
}

/** One at a time over all machines: looking for a conflict and adding the run must not be interleaved. */
export async function withRunsLocked<T>(queues: Queues, body: () => Promise<T>): Promise<T> {
  const key = `${queues.prefix}:enqueue-lock`;
  const token = randomUUID();
  const deadline = Date.now() + 15_000;
  while ((await queues.redis.set(key, token, 'PX', 10_000, 'NX')) === null) {
    if (Date.now() > deadline) {
      throw new PgconvoyError('Another command has been starting a run for 15 s.', {
        hint: 'Try again in a moment.',
        disposition: 'retry',
      });
    }
    await sleep(50);
  }
  try {
    return await body();
  } finally {
    const release = 'if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0';
    await queues.redis.eval(release, 1, key, token);
  }
}

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
