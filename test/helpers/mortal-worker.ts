/**
 * A worker process that tells its parent which step it begins, and begins to work when it is told to: what takes a process long to load is
 * there by then. Everything else is wired as in workers/run-worker.ts; only the times after which others take over are short.
 *   fork('mortal-worker', [CONFIG])
 */
import { once } from 'node:events';
import { loadConfig } from '../../src/config/load.ts';
import { createLogger } from '../../src/log.ts';
import { operations } from '../../src/operations/index.ts';
import { isCutoverUnfinished, isCuttingOver, openQueues } from '../../src/queue/queues.ts';
import { startWorkers } from '../../src/queue/workers.ts';
import { openClusters } from '../../src/runtime/clusters.ts';
import { createExecutor } from '../../src/runtime/execute.ts';
import { startKeeper } from '../../src/runtime/keeper.ts';
import { workflows } from '../../workflows/index.ts';

const [, , path = ''] = process.argv;
process.once('disconnect', () => process.exit(1));
await once(process, 'message');

const loaded = loadConfig({ path, env: process.env });
const { config, settings } = loaded;
const log = createLogger('info');
const queues = await openQueues(config.queue, 'worker', log);
const clusters = openClusters(loaded);
const executor = createExecutor(clusters, operations);
startKeeper({
  clusters,
  isCuttingOver: () => isCuttingOver(queues),
  mayBeFenced: () => isCutoverUnfinished(queues),
  onGivenBack: executor.noteGivenBack,
  log,
  signal: new AbortController().signal,
});
await startWorkers({
  queues,
  workflows: Object.values(workflows),
  execute: (execution) => {
    process.send?.(execution.step.key);
    return executor.execute(execution);
  },
  failedForGood: executor.failedForGood,
  budgets: config.budgets,
  waitDeadlineMs: settings.deadlines.lock,
  log,
  times: { lockDuration: 1_500, stalledInterval: 400, backoff: [200, 1_000], wait: [100, 500] },
});
