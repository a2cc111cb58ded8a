import { startBoard } from '../src/board/board.ts';
import type { Board } from '../src/board/board.ts';
import type { Config } from '../src/config/schema.ts';
import { errorText } from '../src/errors.ts';
import type { Logger } from '../src/log.ts';
import type { Queues } from '../src/queue/queues.ts';
import type { Clusters } from '../src/runtime/context.ts';
import { readStatus } from '../src/runtime/status/read-status.ts';
import { version } from '../src/runtime/version.ts';
import { whoAmI } from '../src/runtime/who.ts';
import { workflows } from '../workflows/index.ts';

interface Surroundings {
  readonly config: Config;
  readonly queues: Queues;
  readonly clusters: Clusters;
  readonly log: Logger;
}

/**
 * The board of the worker that commands start by themselves: at the port that the configuration names, or at any other one where that is
 * taken. A worker works without it just as well, so nothing is thrown.
 */
export async function boardBeside({ config, queues, clusters, log }: Surroundings): Promise<Board | undefined> {
  if (!config.board.enabled) return undefined;
  const start = (port: number) =>
    startBoard({
      config: { ...config.board, port },
      queues,
      steering: { workflows: Object.values(workflows), budgets: config.budgets, by: whoAmI(), version },
      readClusters: (signal) => readStatus(clusters, signal),
      log,
    });
  try {
    return await start(config.board.port).catch(() => start(0));
  } catch (error) {
    log.warn({ error: errorText(error) }, 'no board');
    return undefined;
  }
}
