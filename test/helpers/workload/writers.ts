/** Starts and stops the writers of a workload, which live in a process of their own. */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { ClusterInfo } from '../servers.ts';
import { eventually } from '../wait.ts';
import { readJournal } from './journal.ts';
import type { JournalRecord } from './journal.ts';
import { writerRole } from './workload.ts';
import type { WorkloadDatabase } from './workload.ts';
import type { WritersReport, WritersStart } from './writer-process.ts';

export interface WritersOptions {
  readonly source: ClusterInfo;
  readonly target: ClusterInfo;
  readonly databases: readonly WorkloadDatabase[];
  readonly journalFile: string;
  /** Pause after each write of a database, milliseconds. */
  readonly pauseMs?: number;
  /** Pause between two attempts to connect once the source refuses, milliseconds. */
  readonly pollMs?: number;
}

export class Writers implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #journalFile: string;
  readonly #ended: Promise<number | string>;
  #report: WritersReport | undefined;

  constructor(child: ChildProcess, journalFile: string) {
    this.#child = child;
    this.#journalFile = journalFile;
    this.#ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve(signal ?? code ?? 1));
    });
    child.on('message', (message) => {
      this.#report = message as WritersReport;
    });
  }

  /** The latest report, at most half a second old; undefined at the very start. */
  get report(): WritersReport | undefined {
    return this.#report;
  }

  /** Waits until every database has been written to. */
  async everywhere(): Promise<void> {
    await eventually(
      () => {
        if (!this.#report) throw new Error('the writers have not begun');
        if (this.#report.silent.length > 0) throw new Error(`nothing written yet in ${this.#report.silent.join(', ')}`);
      },
      { timeoutMs: 30_000 },
    );
  }

  /** Waits until every writer writes there again. */
  async backOnSource(databases: number): Promise<void> {
    await eventually(
      () => {
        const back = this.#report?.onSource ?? 0;
        if (back < databases) throw new Error(`${back} of ${databases} writers are back on the source`);
      },
      { timeoutMs: 30_000 },
    );
  }

  /** Waits until no writer writes on the source any more. */
  async goneFromSource(): Promise<void> {
    await eventually(
      () => {
        if (this.#report?.onSource !== 0) throw new Error(`${this.#report?.onSource} writers are on the source`);
      },
      { timeoutMs: 30_000 },
    );
  }

  /** Waits until every writer has been on the target. */
  async onTarget(databases: number): Promise<void> {
    await eventually(
      () => {
        const moved = this.#report?.onTarget ?? 0;
        if (moved < databases) throw new Error(`${moved} of ${databases} writers have moved to the target`);
      },
      { timeoutMs: 30_000 },
    );
  }

  /** Ends the writers after the write that is under way, and returns everything they have recorded. */
  async stop(): Promise<JournalRecord[]> {
    if (this.#child.connected) this.#child.send('stop');
    const end = await this.#ended;
    if (end !== 0) throw new Error(`the writers' process ended with ${end}: its record cannot be trusted`);
    return readJournal(this.#journalFile);
  }

  /** Ends the process without waiting for anything; nothing to do after `stop`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }
}

/** Starts writing into all databases at once, each over one connection of its own. */
export function startWriters(options: WritersOptions): Writers {
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  const child = fork(join(import.meta.dirname, 'writer-process.ts'), { execArgv: ['--import', tsx] });
  const endpoint = ({ host, port }: ClusterInfo) => ({ host, port, ...writerRole });
  const start: WritersStart = {
    databases: options.databases,
    source: endpoint(options.source),
    target: endpoint(options.target),
    journalFile: options.journalFile,
    pauseMs: options.pauseMs ?? 10,
    pollMs: options.pollMs ?? 20,
  };
  child.send(start);
  return new Writers(child, options.journalFile);
}
