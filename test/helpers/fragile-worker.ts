/**
 * A worker process that dies as by `kill -9` at the first operation that no worker before it has died at. Everything else is wired as in
 * workers/run-worker.ts; only the times after which others take over are short.
 *   node fragile-worker.js CONFIG DEATHS WHERE: the file with the deaths so far, a line `STEP MOMENT` each; a regular
 *   expression of steps.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { loadConfig } from '../../src/config/load.ts';
import { createLogger } from '../../src/log.ts';
import { operations } from '../../src/operations/index.ts';
import { openQueues } from '../../src/queue/queues.ts';
import type { Execute } from '../../src/queue/types.ts';
import { startWorkers } from '../../src/queue/workers.ts';
import { openClusters } from '../../src/runtime/clusters.ts';
import { createExecutor } from '../../src/runtime/execute.ts';
import { workflows } from '../../workflows/index.ts';

/** In the middle of the work, or when all is done and the queue does not know it yet. */
const MOMENTS = ['middle', 'end'] as const;
/** Milliseconds after the begin that count as the middle: operations are short, and each gets another one. */
const MIDDLES = [5, 20, 45, 10, 80];

const [, , path = '', deaths = '', where = ''] = process.argv;
const loaded = loadConfig({ path, env: process.env });
const log = createLogger('info');
const queues = await openQueues(loaded.config.queue, 'worker', log);
const executor = createExecutor(openClusters(loaded), operations);
const died = existsSync(deaths) ? readFileSync(deaths, 'utf8').trim().split('\n') : [];
const isMortal = new RegExp(where);
let dying = false;

const dieAt: Execute = async (execution) => {
  const { key } = execution.step;
  const moment = isMortal.test(key) ? MOMENTS.find((each) => !died.includes(`${key} ${each}`)) : undefined;
  // Steps of other lanes wait for the next worker: a short one would slip through in every lane, and nobody would have died at it.
  if (dying) return new Promise<never>(() => {});
  if (moment === undefined) return executor.execute(execution);
  dying = true;
  appendFileSync(deaths, `${key} ${moment}\n`);
  if (moment === 'middle') setTimeout(die, MIDDLES[died.length % MIDDLES.length]);
  try {
    return await executor.execute(execution);
  } finally {
    die();
  }
};

function die(): void {
  process.kill(process.pid, 'SIGKILL');
}

await startWorkers({
  queues,
  workflows: Object.values(workflows),
  execute: dieAt,
  budgets: loaded.config.budgets,
  waitDeadlineMs: loaded.settings.deadlines.lock,
  log,
  times: { lockDuration: 1_500, stalledInterval: 400, backoff: [200, 1_000], wait: [100, 500] },
});
