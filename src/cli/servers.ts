import type { LoadedConfig } from '../config/load.ts';
import { closeClusters, openClusters } from '../runtime/clusters.ts';
import type { Clusters } from '../runtime/context.ts';
import { engineOf } from '../runtime/engine.ts';
import { onlyOpened, selectDatabases } from '../runtime/databases.ts';
import type { Selection } from '../runtime/databases.ts';
import { meetServers, serversAway } from '../runtime/preflight-servers.ts';
import type { PgconvoyError } from '../errors.ts';
import type { Side } from '../postgres/cluster.ts';
import type { Globals, Invocation } from './command.ts';
import { openConfig } from './config-password.ts';
import type { Terminal } from './render/terminal.ts';

/** The configuration as this command line means it: the patterns of --databases and --exclude take the place of the file's. */
export async function configOf({ terminal, globals }: Pick<Invocation, 'terminal' | 'globals'>): Promise<LoadedConfig> {
  const loaded = await openConfig(terminal, {
    path: globals.config,
    configPasswordFile: globals.configPasswordFile,
    env: process.env,
    flags: { source: globals.source, target: globals.target, queue: globals.queue, engine: globals.engine },
  });
  for (const warning of loaded.warnings) terminal.note(`! ${warning}`);
  return withPatterns(loaded, globals);
}

function withPatterns(loaded: LoadedConfig, { databases: include, exclude }: Globals): LoadedConfig {
  const { databases } = loaded.config;
  const patterns = { include: [...(include ?? databases.include)], exclude: [...(exclude ?? databases.exclude)] };
  return {
    ...loaded,
    config: { ...loaded.config, databases: patterns },
    settings: { ...loaded.settings, databases: patterns },
  };
}

/** Both clusters, for commands that look at them before or beside a run. Connects with the first question. */
export class Servers implements AsyncDisposable {
  readonly clusters: Clusters;
  readonly #terminal: Terminal;
  readonly #signal = new AbortController().signal;

  constructor(loaded: LoadedConfig, terminal: Terminal) {
    this.clusters = openClusters(loaded);
    this.#terminal = terminal;
  }

  /** How rows travel, by the configuration or the source's version. */
  async engine(): Promise<string> {
    return (await engineOf(this.clusters, this.#signal)).name;
  }

  /**
   * Sees that an upgrade from the one to the other makes sense at all, and which databases take part.
   * @throws ConfigError, UnreachableError
   */
  async select(): Promise<Selection> {
    const { warnings } = await meetServers(this.clusters, this.#signal);
    for (const warning of warnings) this.#terminal.note(`! ${warning}`);
    return this.#selection();
  }

  /**
   * Those of them that applications use on the target.
   * @throws ConfigError, UnreachableError
   */
  async selectOpened(): Promise<Selection> {
    const target = this.clusters.target.bind({ applicationName: 'pgconvoy/select', signal: this.#signal });
    try {
      return await onlyOpened(await this.select(), target);
    } finally {
      await target.close();
    }
  }

  async #selection(): Promise<Selection> {
    const source = this.clusters.source.bind({ applicationName: 'pgconvoy/select', signal: this.#signal });
    try {
      return await selectDatabases(source, this.clusters.settings.databases);
    } finally {
      await source.close();
    }
  }

  /**
   * Which of these servers are away, and which databases take part, as far as the source is there to be asked.
   * @throws ConfigError
   */
  async selectForCheck(
    sides: readonly Side[],
  ): Promise<{ readonly selection: Selection; readonly away: ReadonlyMap<Side, PgconvoyError> }> {
    const away = await serversAway(this.clusters, sides, this.#signal);
    return { selection: away.has('source') ? { selected: [], reported: [] } : await this.#selection(), away };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closeClusters(this.clusters);
  }
}
