import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';
import { defineOperation, holds, lacks } from '../../src/engine/operation.ts';
import type { AnyOperation, OperationContext } from '../../src/engine/operation.ts';
import { createLogger } from '../../src/log.ts';
import { sql } from '../../src/postgres/sql.ts';
import type { StepExecution } from '../../src/queue/types.ts';
import { createExecutor } from '../../src/runtime/execute.ts';
import type { Executor } from '../../src/runtime/execute.ts';
import { DatabaseLocks } from '../../src/runtime/locks.ts';
import { TestPair } from '../helpers/pair.ts';
import { eventually } from '../helpers/wait.ts';

describe('createExecutor', () => {
  let pair: TestPair;
  let database: string;
  const executors: Executor[] = [];
  beforeAll(async () => {
    pair = await TestPair.open();
    database = await pair.database('executed', 'create table done (n int)', ['source', 'target']);
  });
  afterAll(async () => {
    await Promise.all(executors.map((executor) => executor.close()));
    await pair[Symbol.asyncDispose]();
  });

  /** Notes a number on the target, with whatever `apply` does besides. */
  const noting = (n: number, during: (context: OperationContext) => Promise<void> = async () => {}) =>
    defineOperation({
      name: `note-${n}`,
      title: `${n} is noted`,
      scope: 'database',
      input: z.object({}),
      output: z.object({ n: z.number() }),
      async check({ target }) {
        const rows = await target.many(z.object({ n: z.number() }), sql`select n from public.done where n = ${n}`);
        return rows.length > 0 ? holds({ n }) : lacks([n]);
      },
      async apply(context) {
        await during(context);
        await context.target.run(sql`insert into public.done values (${n})`);
      },
    });
  const executor = (...operations: AnyOperation[]) => {
    const made = createExecutor(pair.clusters, new Map(operations.map((operation) => [operation.name, operation])));
    executors.push(made);
    return made.execute;
  };
  const execution = (operation: string, signal = new AbortController().signal): StepExecution => ({
    run: { id: `run-${pair.suffix}`, workflow: 'test', databases: [{ oid: 1, name: database }], options: {} },
    database: { oid: 1, name: database },
    step: { key: operation, operation, title: operation, queue: 'operation', input: {}, policy: {} },
    attempt: 1,
    signal,
    log: createLogger('silent'),
    progress: () => {},
    note: () => {},
    findings: async () => {},
    repeated: () => {},
  });
  const sessions = (side: 'source' | 'target', where: string) =>
    pair.query(side, 'postgres', `select pid, application_name from pg_stat_activity where ${where}`);

  test('what changes something while it looks holds the lock as well', async () => {
    const seen: (string | undefined)[] = [];
    const looking = defineOperation({
      name: 'looking',
      title: 'nothing',
      scope: 'database',
      exclusive: () => true,
      input: z.object({}),
      output: z.object({}),
      async check({ target }) {
        const others = new DatabaseLocks(pair.clusters);
        const taken = others.hold(database, { signal: new AbortController().signal, deadlineMs: 0, onLost: () => {} });
        seen.push(await taken.then(() => 'free', String));
        await others.close();
        return target.name === database ? holds({}) : lacks([1]);
      },
    });
    expect(await executor(looking)(execution('looking'))).toMatchObject({ changed: false, output: {} });
    expect(seen).toEqual([expect.stringContaining('is being worked on by')]);
  });

  test('runs an operation under its own name and leaves no session at work', async () => {
    const seen: unknown[] = [];
    const execute = executor(
      noting(1, async ({ source, run }) => {
        seen.push(
          await source.one(z.object({ name: z.string() }), sql`select current_setting('application_name') as name`),
          run.databases,
        );
      }),
    );
    expect(await execute(execution('note-1'))).toEqual({ changed: true, output: { n: 1 }, findings: [] });
    expect(seen).toEqual([{ name: `pgconvoy/run-${pair.suffix}/note-1` }, [database]]);
    expect(await execute(execution('note-1'))).toMatchObject({ changed: false });
    expect(
      await sessions('target', `application_name like 'pgconvoy/run-${pair.suffix}%' and state <> 'idle'`),
    ).toEqual([]);
  });

  test('two workers never change one database at the same time, and the second finds the work done', async () => {
    let inside = 0;
    const operation = noting(2, async () => {
      inside += 1;
      expect(inside).toBe(1);
      await sleep(300);
    });
    const [one, two] = [executor(operation), executor(operation)];
    const results = await Promise.all([one, one, two].map((execute) => execute(execution('note-2'))));
    expect(results.map(({ changed }) => changed).sort()).toEqual([false, false, true]);
  });

  test.each(['source', 'target'] as const)(
    'a lock lost on the %s stops the step, which may be tried again',
    async (side) => {
      const n = side === 'source' ? 3 : 4;
      let entered = false;
      const execute = executor(
        noting(n, async ({ signal }) => {
          if (entered) return;
          entered = true;
          await sleep(20_000, undefined, { signal });
        }),
      );
      const failing = execute(execution(`note-${n}`)).catch((error: unknown) => error);
      await eventually(() => expect(entered).toBe(true));
      await pair.query(
        side,
        'postgres',
        `select pg_terminate_backend(a.pid) from pg_stat_activity a join pg_locks l using (pid)
        where l.locktype = 'advisory' and a.datname = 'maintenance_${pair.suffix}'`,
      );
      expect(await failing).toMatchObject({
        disposition: 'retry',
        message: expect.stringContaining(`${side}: the session that holds the locks`) as unknown,
      });
      expect(await execute(execution(`note-${n}`))).toMatchObject({ changed: true });
    },
  );

  test('a lock that somebody else holds makes the step wait, and names the holder', async () => {
    const other = new DatabaseLocks(pair.clusters);
    const release = await other.hold(database, {
      signal: new AbortController().signal,
      deadlineMs: 5_000,
      onLost: () => {},
    });
    const { settings } = pair.clusters;
    const hasty = { ...pair.clusters, settings: { ...settings, deadlines: { ...settings.deadlines, lock: 300 } } };
    const operation = noting(6);
    const made = createExecutor(hasty, new Map([[operation.name, operation]]));
    executors.push(made);
    const error = await made.execute(execution('note-6')).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      disposition: 'wait',
      message: expect.stringMatching(/worked on by the session with pid \d+/) as unknown,
    });
    await release();
    await other.close();
    expect(await made.execute(execution('note-6'))).toMatchObject({ changed: true });
  });

  test('a cancel stops the statement on the server', async () => {
    const controller = new AbortController();
    const execute = executor(noting(5, async ({ target }) => void (await target.run(sql`select pg_sleep(60)`))));
    const failing = execute(execution('note-5', controller.signal)).catch((error: unknown) => error);
    const asleep = `query like 'select pg_sleep(60)%' and datname = '${database}'`;
    await eventually(async () => expect(await sessions('target', asleep)).toHaveLength(1));
    controller.abort(new Error('cancelled by a person'));
    expect(await failing).toMatchObject({ message: 'cancelled by a person' });
    await eventually(async () => expect(await sessions('target', `${asleep} and state = 'active'`)).toEqual([]));
  });

  test('an operation of another version is refused by name', async () => {
    await expect(executor()(execution('fly'))).rejects.toMatchObject({
      message: 'this worker does not know the operation fly',
      disposition: 'give-up',
    });
  });
});
