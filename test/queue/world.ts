/**
 * A small world for the tests of the queue: operations that are real but tiny. What they make so is a field of a Redis
 * hash, and every apply leaves a line in a journal, so that a test sees what ran how often.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import * as z from 'zod';
import type { Finding } from '../../src/engine/finding.ts';
import { defineOperation, definePreflight, holds, lacks } from '../../src/engine/operation.ts';
import type { AnyOperation, OperationContext } from '../../src/engine/operation.ts';
import type { SelectedDatabase } from '../../src/engine/plan.ts';
import { runOperation } from '../../src/engine/run-operation.ts';
import { defineWorkflow, eachDatabase } from '../../src/engine/workflow.ts';
import type { Row, Workflow } from '../../src/engine/workflow.ts';
import { createLogger } from '../../src/log.ts';
import type { Logger } from '../../src/log.ts';
import { cancelRun, resumeRun, retrySteps } from '../../src/queue/control.ts';
import type { Steering } from '../../src/queue/control.ts';
import type { QueueConfig } from '../../src/queue/store.ts';
import { openQueues } from '../../src/queue/queues.ts';
import type { QueueName, Queues } from '../../src/queue/queues.ts';
import { readRun } from '../../src/queue/read-run.ts';
import { enqueueRun } from '../../src/queue/runs.ts';
import type { Execute, RunView, StepView } from '../../src/queue/types.ts';
import { startWorkers } from '../../src/queue/workers.ts';
import type { Workers, WorkersRequest, WorkerTimes } from '../../src/queue/workers.ts';
import { openQueueDatabase } from '../helpers/queue-database.ts';
import type { QueueDatabase } from '../helpers/queue-database.ts';
import { sharedRedis } from '../helpers/servers.ts';
import { eventually } from '../helpers/wait.ts';

export const BUDGETS = { copies: 4, tableWorkers: 1, indexWorkers: 1, operations: 8, cutovers: 4 };
const FAST: WorkerTimes = {
  lockDuration: 2_000,
  stalledInterval: 500,
  backoff: [20, 100],
  wait: [20, 50],
  grace: 5_000,
  handOverDelay: 100,
  controlPoll: 100,
  gather: 300,
  tellAgain: [50, 100],
};

/** What an operation of this world does in its apply, beside its journal: nothing, unless a test says otherwise. */
export type Behaviour = (context: OperationContext, attempt: number) => Promise<void> | void;

export const databases = (...names: string[]): SelectedDatabase[] =>
  names.map((name, index) => ({ oid: 16_384 + index, name }));

/** Where worlds keep their jobs, unless they say otherwise: files of `postgres/` run the tests of others on PostgreSQL. */
let backend: 'redis' | 'postgres' = 'redis';
export const usePostgres = (): void => {
  backend = 'postgres';
};
export const onRedis = (): boolean => backend === 'redis';

export interface World extends AsyncDisposable {
  readonly url: string;
  readonly prefix: string;
  readonly config: QueueConfig;
  readonly queues: Queues;
  readonly redis: Redis;
  readonly execute: Execute;
  readonly logged: string[];
  /** An operation on each database. */
  operation(
    name: string,
    options?: { queue?: 'operation' | 'copy' | 'cutover'; scope?: 'cluster' | 'database' },
  ): AnyOperation;
  preflight(name: string, found: (database: string) => readonly Finding[]): AnyOperation;
  /** An operation that only looks, and what it sees in each database. */
  observing(name: string, output: (database: string) => Record<string, boolean>): AnyOperation;
  workflow(rows: readonly Row[], onCancel?: readonly Row[]): Workflow;
  /** `STEP` or `DATABASE/STEP`. */
  on(step: string, behaviour: Behaviour): void;
  calm(step: string): void;
  work(
    workflow: Workflow | readonly Workflow[],
    options?: Partial<Pick<WorkersRequest, 'times' | 'waitDeadlineMs' | 'name' | 'notifications'>>,
  ): Promise<Workers>;
  start(workflow: Workflow, databases: readonly SelectedDatabase[]): Promise<string>;
  until(run: string, state: RunView['state'] | ((run: RunView) => boolean), timeoutMs?: number): Promise<RunView>;
  /** `DATABASE/STEP` for each apply that ran to its end, in order. */
  journal(): Promise<string[]>;
  /** The same for each apply that began. */
  begun(): Promise<string[]>;
  cancel(run: string, workflow: Workflow): ReturnType<typeof cancelRun>;
  resume(run: string, workflow: Workflow): ReturnType<typeof resumeRun>;
  retry(run: string, workflow: Workflow, filter?: { database?: string; step?: string }): ReturnType<typeof retrySteps>;
  /** Everything that is kept of the queue, as text. */
  everything(): Promise<string>;
  /** How often the progress of a job of this queue was stored. */
  progressStored(queue: QueueName): Promise<number>;
  /** As another worker would do after an outage longer than the lock: it has the job, with a lock of its own for a while. */
  takeLock(queue: QueueName, job: string, milliseconds: number): Promise<void>;
}

/** @param server.place where the queue is, when it is not where the journal is (`url`) */
export async function openWorld(server?: {
  url?: string;
  prefix?: string;
  place?: Omit<QueueConfig, 'prefix'> & { readonly prefix?: string };
}): Promise<World> {
  const url = server?.url ?? (await sharedRedis()).url;
  const prefix = server?.prefix ?? `t${randomBytes(6).toString('hex')}`;
  const own = server === undefined && !onRedis() ? await openQueueDatabase() : undefined;
  const config: QueueConfig = own?.config ?? { prefix, ...(server?.place ?? { url }) };
  const queues = await openQueues(config, 'worker');
  const redis = new Redis(url);
  redis.on('error', () => undefined);
  const behaviours = new Map<string, Behaviour>();
  const operations = new Map<string, AnyOperation>();
  const logged: string[] = [];
  const log: Logger = createLogger('debug', { write: (line: string) => void logged.push(line) });
  const workers: Workers[] = [];
  const key = (name: string) => `${prefix}-world:${name}`;
  const journal = (list: string) => redis.lrange(key(list), 0, -1);
  const steering = (workflow: Workflow): Steering => ({
    workflows: [workflow],
    by: 'somebody@here',
    version: '0.0.1',
    budgets: BUDGETS,
  });

  const operation: World['operation'] = (name, { queue = 'operation', scope = 'database' } = {}) => {
    const place = (context: OperationContext) => `${scope === 'cluster' ? 'cluster' : context.source.name}/${name}`;
    const made = defineOperation({
      name,
      title: `${name} holds`,
      scope,
      queue,
      input: z.object({}),
      output: z.object({ at: z.string() }),
      async check(context) {
        const at = await redis.hget(key('done'), place(context));
        return at === null ? lacks([place(context)]) : holds({ at });
      },
      async apply(context) {
        const attempt =
          (await redis.rpush(key('begun'), place(context))) &&
          (await redis.hincrby(key('attempts'), place(context), 1));
        // Held by a key, so that a test can hold a step in another process too.
        while (await redis.exists(key(`hold:${place(context)}`)))
          await sleep(20, undefined, { signal: context.signal });
        await (behaviours.get(place(context)) ?? behaviours.get(name))?.(context, attempt);
        await redis.rpush(key('journal'), place(context));
        await redis.hset(key('done'), place(context), new Date().toISOString());
      },
      async undo(context) {
        await behaviours.get(`undo:${name}`)?.(context, 1);
        const undone = await redis.hdel(key('done'), place(context));
        await redis.rpush(key('journal'), `${place(context)}:undone`);
        return undone === 1;
      },
    });
    operations.set(name, made);
    return made;
  };

  const execute: Execute = async (execution) => {
    const context = {
      source: { name: execution.database?.name ?? 'postgres' },
      signal: execution.signal,
      progress: execution.progress,
      note: execution.note,
      log: execution.log,
      input: execution.step.input,
      run: {
        id: execution.run.id,
        databases: execution.run.databases.map((one) => one.name),
        options: execution.run.options,
      },
      settings: { accept: [] },
    } as unknown as OperationContext;
    return runOperation(operations.get(execution.step.operation)!, context, execution.step.policy, {
      onFindings: execution.findings,
    });
  };

  return {
    url,
    prefix,
    config,
    ...(own ? inPostgres(own) : inRedis(redis, config.prefix)),
    queues,
    redis,
    execute,
    logged,
    operation,
    preflight(name, found) {
      const made = definePreflight({
        name,
        title: `${name} finds nothing`,
        scope: 'database',
        input: z.object({}),
        output: z.object({}),
        async check(context) {
          const findings = found(context.source.name);
          return findings.length > 0 ? lacks(findings) : holds({});
        },
      });
      operations.set(name, made);
      return made;
    },
    observing(name, output) {
      const made = defineOperation({
        name,
        title: `${name} looks`,
        scope: 'database',
        input: z.object({}),
        output: z.record(z.string(), z.boolean()),
        check: async (context) => holds(output(context.source.name)),
      });
      operations.set(name, made);
      return made;
    },
    workflow: (rows, onCancel) =>
      defineWorkflow({ name: 'trial', title: 'A trial', rows, ...(onCancel ? { onCancel } : {}) }),
    on: (step, behaviour) => void behaviours.set(step, behaviour),
    calm: (step) => void behaviours.delete(step),
    async work(workflow, options = {}) {
      const started = await startWorkers({
        queues,
        workflows: Array.isArray(workflow) ? workflow : [workflow as Workflow],
        execute,
        budgets: BUDGETS,
        waitDeadlineMs: options.waitDeadlineMs ?? 60_000,
        log,
        times: { ...FAST, ...options.times },
        ...(options.name === undefined ? {} : { name: options.name }),
        ...(options.notifications ? { notifications: options.notifications } : {}),
      });
      workers.push(started);
      return started;
    },
    start: (workflow, selected) =>
      enqueueRun(queues, {
        workflow,
        databases: selected,
        options: { trial: true },
        by: 'somebody@here',
        version: '0.0.1',
        budgets: BUDGETS,
      }),
    until: (run, wanted, timeoutMs = 20_000) =>
      eventually(
        async () => {
          const view = await readRun(queues, run);
          const good = typeof wanted === 'string' ? view.state === wanted : wanted(view);
          if (!good) throw new Error(`run is ${view.state}: ${summary(view)}`);
          return view;
        },
        { timeoutMs },
      ),
    journal: () => journal('journal'),
    begun: () => journal('begun'),
    cancel: (run, workflow) => cancelRun(queues, run, steering(workflow)),
    resume: (run, workflow) => resumeRun(queues, run, steering(workflow)),
    retry: (run, workflow, filter) => retrySteps(queues, run, steering(workflow), filter),
    async [Symbol.asyncDispose]() {
      await Promise.all(workers.map((one) => one.stop()));
      await queues.close();
      redis.disconnect();
      await own?.[Symbol.asyncDispose]();
    },
  };
}

type Inside = Pick<World, 'everything' | 'progressStored' | 'takeLock'>;

const inRedis = (redis: Redis, prefix: string): Inside => ({
  async everything() {
    const texts: string[] = [];
    for (const key of await redis.keys(`{${prefix}}:*`)) {
      const type = await redis.type(key);
      if (type === 'hash') texts.push(JSON.stringify(await redis.hgetall(key)));
      if (type === 'list') texts.push(JSON.stringify(await redis.lrange(key, 0, -1)));
      if (type === 'stream') texts.push(JSON.stringify(await redis.xrange(key, '-', '+')));
    }
    return texts.join('\n');
  },
  async progressStored(queue) {
    const events = await redis.xrange(`{${prefix}}:${queue}:events`, '-', '+');
    return events.filter(([, fields]) => fields.includes('progress')).length;
  },
  async takeLock(queue, job, milliseconds) {
    await redis.set(`{${prefix}}:${queue}:${job}:lock`, 'another-worker', 'PX', milliseconds);
  },
});

const inPostgres = ({ query }: QueueDatabase): Inside => ({
  async everything() {
    const tables = await query<{ name: string }>(
      'select tablename as name from pg_tables where schemaname = current_schema()',
    );
    const texts: string[] = [];
    for (const { name } of tables) texts.push(JSON.stringify(await query(`select * from ${name}`)));
    return texts.join('\n');
  },
  async progressStored(queue) {
    const [counted] = await query<{ n: number }>(
      "select count(*)::int as n from event where queue = $1 and event = 'progress'",
      [queue],
    );
    return counted?.n ?? 0;
  },
  async takeLock(queue, job, milliseconds) {
    await query("update job set lock_token = 'another-worker', locked_until_ms = $3 where queue = $1 and id = $2", [
      queue,
      job,
      Date.now() + milliseconds,
    ]);
  },
});

export const steps = (run: RunView): StepView[] => run.stages.flatMap((stage) => stage.steps);
export const stepOf = (run: RunView, database: string | undefined, key: string): StepView => {
  const found = steps(run).find((step) => step.database === database && step.key === key);
  if (!found) throw new Error(`no step ${key} of ${database}`);
  return found;
};
const summary = (run: RunView): string =>
  steps(run)
    .map((step) => `${step.database ?? 'cluster'}/${step.key}=${step.state}`)
    .join(' ');

/** One lane of three steps on each database. */
export const threeSteps = (world: World): Workflow =>
  world.workflow([
    eachDatabase(world.operation('one')),
    eachDatabase(world.operation('two', { queue: 'copy' })),
    eachDatabase(world.operation('three')),
  ]);
