/** What a PostgreSQL and a Redis of the tests have in common: a folder, a free port, a process that is stopped by pid. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { chownSync, closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { forgetServer, identityOf, isRunning, recordServer, runFolder, type ProcessIdentity } from './run-folder.ts';

/** PostgreSQL refuses to run as root: then its servers run as nobody. */
export const serverUser: { uid?: number; gid?: number } = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};

/** Makes an empty folder in the run that belongs to the user the servers run as. */
export function makeServerFolder(name: string): string {
  for (let attempt = 1; ; attempt += 1) {
    const folder = join(runFolder(), attempt === 1 ? name : `${name}-${attempt}`);
    try {
      mkdirSync(folder, { mode: 0o700 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      continue;
    }
    if (serverUser.uid !== undefined) chownSync(folder, serverUser.uid, serverUser.gid ?? serverUser.uid);
    return folder;
  }
}

/**
 * A port nobody listens on, below the range that outgoing connections take theirs from: a server that is restarted on
 * its port must not find it taken by some connection.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(15_000, 32_000);
    if (await canListen(port)) return port;
  }
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

export interface ServerCommand {
  /** For error messages: "PostgreSQL 15 (source)". */
  readonly label: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly folder: string;
  readonly logFile: string;
  /** Makes it end at once, whoever is connected. */
  readonly endSignal: NodeJS.Signals;
  readonly isReady: () => boolean | Promise<boolean>;
}

/** A server program that can be started again and again. */
export class ServerProcess {
  readonly #command: ServerCommand;
  #identity: ProcessIdentity | undefined;

  constructor(command: ServerCommand) {
    this.#command = command;
  }

  /** The pid of the running server, or of the last one. */
  get pid(): number {
    if (!this.#identity) throw new Error(`${this.#command.label} has not been started`);
    return this.#identity.pid;
  }

  get running(): boolean {
    return this.#identity !== undefined && isRunning(this.#identity);
  }

  /** Starts the server and waits until it answers. */
  async start(timeoutMs = 30_000): Promise<void> {
    if (this.running) return;
    const child = this.#spawn();
    if (child.pid === undefined) await failedSpawn(child);
    else this.#identity = recordServer(child.pid, this.#command.endSignal);
    const deadline = Date.now() + timeoutMs;
    while (!(await this.#command.isReady())) {
      if (!this.running) throw this.#failure('ended while starting');
      if (Date.now() > deadline) {
        await this.stop('SIGKILL');
        throw this.#failure(`was not ready after ${timeoutMs} ms`);
      }
      await sleep(20);
    }
    // Something else on the port may have answered in its place.
    if (!this.running) throw this.#failure('ended while starting');
  }

  /** Sends a signal and waits until the process is gone. */
  async stop(signal: NodeJS.Signals, timeoutMs = 30_000): Promise<void> {
    const identity = this.#identity;
    if (!identity) return;
    if (isRunning(identity)) process.kill(identity.pid, signal);
    const deadline = Date.now() + timeoutMs;
    while (isRunning(identity)) {
      if (Date.now() > deadline) throw this.#failure(`still runs ${timeoutMs} ms after ${signal}`);
      await sleep(10);
    }
    forgetServer(identity);
  }

  /** Kills the server and all its children at once, as a crash of the machine would. */
  async kill(): Promise<void> {
    if (!this.running) return;
    const children = childrenOf(this.pid).map(identityOf);
    await this.stop('SIGKILL');
    for (const child of children) killIfThere(child.pid);
    while (children.some(isRunning)) await sleep(10);
  }

  #spawn(): ChildProcess {
    const { program, args, folder, logFile } = this.#command;
    const log = openSync(logFile, 'a');
    try {
      // Detached: a shared server outlives the test file that has started it, and Ctrl-C must not reach it by itself.
      const child = spawn(program, args, {
        ...serverUser,
        cwd: folder,
        detached: true,
        stdio: ['ignore', log, log],
        env: { PATH: process.env['PATH'], HOME: folder, TZ: 'UTC', LC_ALL: 'C' },
      });
      child.unref();
      return child;
    } finally {
      closeSync(log);
    }
  }

  #failure(what: string): Error {
    return new Error(
      `${this.#command.label} ${what}. The end of its log (${this.#command.logFile}):\n${this.#logTail()}`,
    );
  }

  #logTail(): string {
    const { logFile } = this.#command;
    return existsSync(logFile) ? readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-15).join('\n') : '(none)';
  }
}

function failedSpawn(child: ChildProcess): Promise<never> {
  return new Promise((_, reject) => child.once('error', reject));
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
