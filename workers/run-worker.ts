import { once } from 'node:events';
import type { LoadedConfig } from '../src/config/load.ts';
import type { Logger } from '../src/log.ts';
import { operations } from '../src/operations/index.ts';
import { isCutoverUnfinished, isCuttingOver, openQueues } from '../src/queue/queues.ts';
import { startWorkers } from '../src/queue/workers.ts';
import type { Workers } from '../src/queue/workers.ts';
import { closeClusters, openClusters } from '../src/runtime/clusters.ts';
import { createExecutor } from '../src/runtime/execute.ts';
import { identify } from '../src/runtime/identify.ts';
import { startKeeper } from '../src/runtime/keeper.ts';
import { toldBy } from '../src/runtime/notifications/deliver.ts';
import { givenBackTeller } from '../src/runtime/notifications/given-back.ts';
import { startWatchdog } from '../src/runtime/watchdog/watchdog.ts';
import type { Watchdog } from '../src/runtime/watchdog/watchdog.ts';
import { workflows } from '../workflows/index.ts';
import { boardBeside } from './board-beside.ts';

export interface WorkerRequest {
  readonly loaded: LoadedConfig;
  readonly log: Logger;
  /** Aborted to stop gracefully: what runs is handed over. */
  readonly signal: AbortSignal;
  /** When to stop by itself, and how; nothing: at the signal. */
  readonly stay?: (workers: Workers, signal: AbortSignal, board: string | undefined) => Promise<void>;
}

/**
 * One worker process: takes the steps of any run of this configuration until it is stopped.
 * @throws ConfigError, UnreachableError
 */
export async function runWorker({ loaded, log, signal, stay }: WorkerRequest): Promise<void> {
  const { config, settings } = loaded;
  const clusters = openClusters(loaded);
  const queues = await openQueues(config.queue, 'worker', log, identify(clusters, true)).catch(
    async (error: unknown) => {
      await closeClusters(clusters);
      throw error;
    },
  );
  const executor = createExecutor(clusters, operations);
  const keeping = new AbortController();
  let tellGivenBack: ReturnType<typeof givenBackTeller> | undefined;
  let watchdog: Watchdog | undefined;
  const keeper = startKeeper({
    clusters,
    isCuttingOver: () => isCuttingOver(queues),
    mayBeFenced: () => isCutoverUnfinished(queues),
    onGivenBack: (databases) => {
      executor.noteGivenBack(databases);
      tellGivenBack?.(databases);
    },
    log,
    signal: keeping.signal,
  });
  // Looked for while nothing else is to do; the step that needs the programs says what is wrong with them.
  void clusters.programs.version().catch(() => {});
  try {
    const workers = await startWorkers({
      queues,
      workflows: Object.values(workflows),
      execute: executor.execute,
      failedForGood: executor.failedForGood,
      budgets: config.budgets,
      waitDeadlineMs: settings.deadlines.lock,
      log,
      notifications: toldBy(config.notifications),
    });
    tellGivenBack = givenBackTeller(workers.tell);
    const { name: worker, tell } = workers;
    watchdog = startWatchdog({ clusters, queues, config: config.watchdog, worker, tell, log, signal: keeping.signal });
    if (stay) {
      await using board = await boardBeside({ config, queues, clusters, log });
      // As long as a fence stands, somebody is there to take it down in time.
      const idle = async () => !keeper.isNeeded() && (await workers.idle());
      await stay({ ...workers, idle }, signal, board?.url);
    } else if (!signal.aborted) await once(signal, 'abort');
    await workers.stop();
  } finally {
    keeping.abort();
    await Promise.all([keeper.ended, watchdog?.ended]);
    await Promise.allSettled([executor.close(), closeClusters(clusters), queues.close()]);
  }
}
