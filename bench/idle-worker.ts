/** A worker that does nothing in each step, in a process of its own: `idle-worker URL PREFIX`. Says `ready` when it listens. */
import { createLogger } from '../src/log.ts';
import { openQueues } from '../src/queue/queues.ts';
import { startWorkers } from '../src/queue/workers.ts';
import { BUDGETS, idle } from './idle-workflow.ts';

const [url = '', prefix = ''] = process.argv.slice(2);
const log = createLogger('silent');
await startWorkers({
  queues: await openQueues({ url, prefix }, 'worker', log),
  workflows: [idle],
  execute: async () => ({ changed: false, output: {}, findings: [] }),
  budgets: BUDGETS,
  waitDeadlineMs: 60_000,
  log,
});
console.log('ready');
