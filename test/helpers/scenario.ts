/**
 * A whole upgrade as a person does it, for tests: two clusters of their own with the databases of the workload, a Redis, the
 * built program. What the commands have done is looked at by code that is not pgconvoy's.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { ConfigInput } from '../../src/config/schema.ts';
import type { RunView, StepView } from '../../src/queue/types.ts';
import type { EngineName } from '../../src/replication/engine.ts';
import { Program } from './program.ts';
import { runFolder } from './run-folder.ts';
import { startCluster, startRedis } from './servers.ts';
import type { Cluster, Major, RedisInfo, RedisServer, Settings } from './servers.ts';
import { createWorkload } from './workload/create.ts';
import { workloadDatabases } from './workload/databases/index.ts';
import type { JournalRecord } from './workload/journal.ts';
import { proveDatabases } from './workload/proof.ts';
import type { OnSource } from './workload/proof.ts';
import { startWriters } from './workload/writers.ts';
import type { Writers } from './workload/writers.ts';
import type { WorkloadDatabase } from './workload/workload.ts';

export interface ScenarioOptions {
  readonly source?: Major;
  readonly target?: Major;
  /** Native, unless said otherwise. */
  readonly engine?: EngineName;
  /** How many of the workload's databases, or just these by name. */
  readonly databases: number | readonly string[];
  readonly config?: ConfigInput;
  /** Of both clusters. */
  readonly settings?: Settings;
  readonly passwords?: { readonly source: string; readonly target: string };
  /** How the program reaches the queue, where that is not the plain address. */
  readonly queue?: (redis: RedisServer) => Promise<RedisInfo>;
}

export interface CommandResult {
  readonly code: number;
  readonly run: RunView | undefined;
  /** What the command said of problems, findings and errors, for messages of a test that fails. */
  readonly told: string;
}

/** That a command ended so; else an error with everything it said. Returns its run. */
export function assertRun(
  { code, run, told }: CommandResult,
  wantedCode: number,
  wantedState: RunView['state'],
  more = '',
): RunView {
  assert.deepEqual(
    [code, run?.state],
    [wantedCode, wantedState],
    `exit code ${code}, run ${run?.state ?? 'missing'}; ${told}\n${more}`,
  );
  return run!;
}

export class Scenario implements AsyncDisposable {
  readonly source: Cluster;
  readonly target: Cluster;
  readonly redis: RedisServer;
  readonly program: Program;
  readonly databases: readonly WorkloadDatabase[];

  private constructor(parts: Pick<Scenario, 'source' | 'target' | 'redis' | 'program' | 'databases'>) {
    this.source = parts.source;
    this.target = parts.target;
    this.redis = parts.redis;
    this.program = parts.program;
    this.databases = parts.databases;
  }

  static async open(options: ScenarioOptions): Promise<Scenario> {
    const major = options.source ?? 15;
    const { settings = {}, passwords, engine = 'native' } = options;
    const pglogical = engine === 'pglogical';
    const [source, target, redis] = await Promise.all([
      startCluster({
        major,
        name: 'source',
        settings,
        pglogical,
        ...(passwords ? { password: passwords.source } : {}),
      }),
      startCluster({
        major: options.target ?? 18,
        name: 'target',
        settings,
        pglogical,
        ...(passwords ? { password: passwords.target } : {}),
      }),
      startRedis(),
    ]);
    const wanted = options.databases;
    const databases =
      typeof wanted === 'number'
        ? workloadDatabases(major, wanted, engine)
        : workloadDatabases(major, undefined, engine).filter(({ name }) => wanted.includes(name));
    await createWorkload(source, databases);
    const reached = (await options.queue?.(redis)) ?? redis;
    // pglogical does without the whole row as identity.
    const fix: ConfigInput = pglogical ? { fix: { default: 'surrogate-key' } } : {};
    const config = { engine, ...fix, ...options.config };
    const program = await Program.open({ source, target, redis: reached, config });
    return new Scenario({ source, target, redis, program, databases });
  }

  /** Runs a command that must complete, and returns the run it has started. */
  async complete(...words: readonly string[]): Promise<RunView> {
    return assertRun(await this.command(...words), 0, 'completed');
  }

  /** Runs a command of which the test says how it ends. */
  async command(...words: readonly string[]): Promise<CommandResult> {
    const { code, document, stderr } = await this.program.json<{
      run?: RunView;
      problems?: unknown;
      findings?: unknown;
      error?: unknown;
    }>(...words);
    const { run, problems, findings, error } = document;
    return {
      code,
      run,
      told: `pgconvoy ${words.join(' ')}: ${JSON.stringify({ problems, findings, error, stderr }, null, 1)}`,
    };
  }

  /** Joins a run and waits until it is completed. */
  async follow(id: string): Promise<RunView> {
    return assertRun(await this.command('status', id, '--watch'), 0, 'completed');
  }

  startWriters(pauseMs = 20): Writers {
    return startWriters({
      source: this.source,
      target: this.target,
      databases: this.databases,
      journalFile: join(runFolder(), `journal-${randomBytes(4).toString('hex')}`),
      pauseMs,
    });
  }

  /** Every acknowledged write is on the target, both sides have the same rows, sequences go on. */
  async prove(journal: readonly JournalRecord[], onSource: OnSource = 'nothing'): Promise<void> {
    const proofs = await proveDatabases({
      source: this.source,
      target: this.target,
      databases: this.databases,
      journal,
      onSource,
    });
    assert.deepEqual(
      proofs.flatMap(({ database, problems }) => problems.map(({ text }) => `${database}: ${text}`)),
      [],
    );
    for (const { database, rows } of proofs) assert.ok(rows > 0, `nothing was compared in ${database}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program.close();
    await Promise.all([this.source.stop(), this.target.stop(), this.redis.stop()]);
  }
}

export const stepsOf = (run: RunView): readonly StepView[] => run.stages.flatMap((stage) => stage.steps);
