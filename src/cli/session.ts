import { workflows } from '../../workflows/index.ts';
import type { LoadedConfig } from '../config/load.ts';
import { checkServer } from '../queue/store.ts';
import type { Steering } from '../queue/control.ts';
import { openQueues } from '../queue/queues.ts';
import type { Queues } from '../queue/queues.ts';
import { workersListening } from '../queue/read-run.ts';
import { ensureEmbedded, namesQueue } from '../runtime/embedded/ensure.ts';
import type { Embedded } from '../runtime/embedded/ensure.ts';
import { identify } from '../runtime/identify.ts';
import type { Invocation } from './command.ts';
import type { Terminal } from './render/terminal.ts';
import { configOf, Servers } from './servers.ts';
import { version } from '../runtime/version.ts';
import { whoAmI } from '../runtime/who.ts';

interface SessionOptions {
  /** Whether the command sets work going: with no queue configured it then starts the worker of this machine. */
  readonly works: boolean;
  /** Whether it runs until it is stopped, whatever outages the queue has. */
  readonly stays?: boolean;
  /** Throws where this command cannot be done with this configuration; nothing is started yet. */
  readonly require?: (loaded: LoadedConfig) => void;
}

/** What a command that talks to the queue works with. Closed at its end, however it ends. */
export class Session implements AsyncDisposable {
  readonly terminal: Terminal;
  readonly loaded: LoadedConfig;
  readonly queues: Queues;
  readonly #embedded: Embedded | undefined;
  readonly #warnings: string[] = [];
  readonly servers: Servers;

  constructor(
    terminal: Terminal,
    loaded: LoadedConfig,
    servers: Servers,
    queues: Queues,
    embedded: Embedded | undefined,
  ) {
    this.terminal = terminal;
    this.loaded = loaded;
    this.servers = servers;
    this.queues = queues;
    this.#embedded = embedded;
  }

  /** What commands that steer a run say about themselves. */
  get steering(): Steering {
    return { workflows: Object.values(workflows), by: whoAmI(), version, budgets: this.loaded.config.budgets };
  }

  /** Where the worker of this machine serves the board. */
  get board(): string | undefined {
    return this.#embedded?.board;
  }

  /** Looks once at what about the queue's server could lose runs. */
  async checkQueue(): Promise<void> {
    for (const { message, remedy } of await checkServer(this.queues)) this.#warnings.push(`${message} ${remedy}`);
  }

  /** What somebody who waits for a run should know about the queue just now. */
  async queueWarnings(): Promise<readonly string[]> {
    const { count } = await workersListening(this.queues);
    if (count > 0) return this.#warnings;
    const remedy = this.#embedded ? 'pgconvoy status --watch starts one' : 'start one with pgconvoy worker';
    return [...this.#warnings, `no worker is listening on this queue: ${remedy}`];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.queues.close(), this.servers[Symbol.asyncDispose]()]);
    await this.#embedded?.close();
  }
}

/**
 * Reads the configuration and connects to the queue; without one to the private queue of this machine.
 * @throws ConfigError, UnreachableError
 */
export async function openSession(
  { terminal, globals }: Pick<Invocation, 'terminal' | 'globals'>,
  { works, stays = false, require }: SessionOptions,
): Promise<Session> {
  const loaded = await configOf({ terminal, globals });
  require?.(loaded);
  const embedded = namesQueue(loaded) ? undefined : await ensureEmbedded(loaded, { worker: works, env: process.env });
  if (embedded && works) {
    const board = embedded.board === undefined ? '' : `, board at ${embedded.board}`;
    terminal.note(`private queue and worker of this machine: state and logs in ${embedded.folder}${board}`);
  }
  const servers = new Servers(loaded, terminal);
  try {
    const queues = await openQueues(
      embedded?.queue ?? loaded.config.queue,
      stays ? 'worker' : 'command',
      undefined,
      identify(servers.clusters, works),
    );
    return new Session(terminal, loaded, servers, queues, embedded);
  } catch (error) {
    await servers[Symbol.asyncDispose]();
    await embedded?.close();
    throw error;
  }
}
