/**
 * pgconvoy as a person has it: the built program, a configuration file, workers that are processes of their own. For
 * scenarios and bench, which must see what a command prints and how it ends.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import type { ConfigInput } from '../../src/config/schema.ts';
import { withLock } from '../../scripts/kit/lock.ts';
import { forgetServer, recordServer, runFolder } from './run-folder.ts';
import type { ClusterInfo, RedisInfo } from './servers.ts';
import { eventually } from './wait.ts';

const root = join(import.meta.dirname, '..', '..');
const main = join(root, 'dist', 'src', 'cli', 'main.js');

/** Builds the program once per run of tests or bench; returns its path. */
export async function builtProgram(): Promise<string> {
  const note = join(runFolder(), 'built');
  await withLock(note, async () => {
    if (existsSync(note)) return;
    await execa(process.execPath, ['--import', import.meta.resolve('tsx'), 'scripts/build.ts'], { cwd: root });
    writeFileSync(note, main);
  });
  return main;
}

export interface ProgramOptions {
  readonly source: ClusterInfo;
  readonly target: ClusterInfo;
  readonly redis: RedisInfo;
  /** Over the addresses above. */
  readonly config?: ConfigInput;
  /** Over this process's environment, for commands and workers. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly milliseconds: number;
}

/** One configuration, and the commands and workers that use it. */
export class Program {
  /** Configuration and logs are here. */
  readonly folder: string;
  readonly #main: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #workers: WorkerProcess[] = [];

  private constructor(program: string, folder: string, env: Readonly<Record<string, string>>) {
    this.#main = program;
    this.folder = folder;
    this.#env = env;
  }

  static async open(options: ProgramOptions): Promise<Program> {
    const { source, target, redis, config = {} } = options;
    const program = await builtProgram();
    const folder = mkdtempSync(join(runFolder(), 'program-'));
    const written: ConfigInput = {
      tools: { bin: target.clients ? target.bin : source.bin },
      ...config,
      // What no test asks for takes no time: a way back is made where a test is about it.
      cutover: { reverse: false, ...config.cutover },
      source: { ...addressOf(source), ...config.source },
      target: { ...addressOf(target), ...config.target },
      queue: { url: redis.url, ...config.queue },
    };
    // JSON is YAML.
    writeFileSync(join(folder, 'pgconvoy.yaml'), JSON.stringify(written), { mode: 0o600 });
    return new Program(program, folder, options.env ?? {});
  }

  /** Runs a command to its end, whatever its exit code. */
  async run(...words: readonly string[]): Promise<Ended> {
    const began = performance.now();
    const result = await execa(process.execPath, [this.#main, ...words], {
      cwd: this.folder,
      env: this.#environment(),
      stdin: 'ignore',
      reject: false,
    });
    if (result.exitCode === undefined)
      throw new Error(`pgconvoy ${words.join(' ')} did not end by itself: ${result.shortMessage}`);
    const milliseconds = performance.now() - began;
    return { code: result.exitCode, stdout: result.stdout, stderr: result.stderr, milliseconds };
  }

  /** Runs a command with `--json` and returns its document. */
  async json<T = Record<string, unknown>>(...words: readonly string[]): Promise<Ended & { readonly document: T }> {
    const ended = await this.run(...words, '--json');
    try {
      return { ...ended, document: JSON.parse(ended.stdout) as T };
    } catch {
      throw new Error(
        `pgconvoy ${words.join(' ')} printed no JSON (exit code ${ended.code}):\n${ended.stdout}\n${ended.stderr}`,
      );
    }
  }

  /** Starts a worker and waits until it listens. */
  async startWorker(...words: readonly string[]): Promise<WorkerProcess> {
    const worker = new WorkerProcess(this.#main, words, this.folder, this.#environment(), this.#workers.length + 1);
    this.#workers.push(worker);
    await worker.listening();
    return worker;
  }

  /** Ends the workers that still run. */
  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.kill()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #environment(): Record<string, string> {
    return { NO_COLOR: '1', ...this.#env };
  }
}

function addressOf(cluster: ClusterInfo) {
  return {
    host: cluster.host,
    port: cluster.port,
    user: cluster.user,
    password: cluster.password,
    sslmode: 'disable' as const,
  };
}

export class WorkerProcess {
  readonly logFile: string;
  readonly #child: ChildProcess;
  readonly #gone: Promise<number | undefined>;

  constructor(program: string, words: readonly string[], folder: string, env: Record<string, string>, number: number) {
    this.logFile = join(folder, `worker-${number}.log`);
    const log = openSync(this.logFile, 'a');
    this.#child = spawn(process.execPath, [program, 'worker', ...words], {
      cwd: folder,
      env: { ...process.env, ...env },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    // So that it ends with the run, however that ends.
    const identity = this.#child.pid === undefined ? undefined : recordServer(this.#child.pid, 'SIGKILL');
    this.#gone = new Promise((resolve) => {
      this.#child.once('error', () => resolve(undefined));
      this.#child.once('exit', (code) => {
        if (identity) forgetServer(identity);
        resolve(code ?? undefined);
      });
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the worker could not be started');
    return this.#child.pid;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  log(): string {
    return readFileSync(this.logFile, 'utf8');
  }

  async listening(): Promise<void> {
    await eventually(
      () => {
        if (!this.running) throw new Error(`the worker ended: ${this.log()}`);
        if (this.log() === '') throw new Error('the worker has not said anything yet');
      },
      { timeoutMs: 20_000 },
    );
  }

  /** As `kill -9`. */
  async kill(): Promise<void> {
    if (this.running) this.#child.kill('SIGKILL');
    await this.#gone;
  }

  /** As a person stops it; returns its exit code. */
  async stop(): Promise<number | undefined> {
    if (this.running) this.#child.kill('SIGTERM');
    return this.#gone;
  }
}
