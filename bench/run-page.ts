/**
 * npm run bench:page [-- --databases 1000]
 * The page of a run in a real Chromium: until something is painted, until it shows rows, what its updates cost while the steps run, and
 * the memory of the board, which is a process of its own. The steps do nothing. Prints numbers; judges nothing.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { setUpKit } from '../scripts/kit/setup.ts';
import { barrier, eachDatabase } from '../src/engine/workflow.ts';
import { createLogger } from '../src/log.ts';
import { startWorkers } from '../src/queue/workers.ts';
import { openBrowser } from '../test/helpers/browser.ts';
import { builtProgram } from '../test/helpers/program.ts';
import { openRunFolder, runFolder } from '../test/helpers/run-folder.ts';
import { startRedis } from '../test/helpers/servers.ts';
import { BUDGETS, databases, openWorld } from '../test/queue/world.ts';

const { values } = parseArgs({ options: { databases: { type: 'string', default: '1000' } } });
const count = Number(values.databases);
await setUpKit('test');
openRunFolder();
const redis = await startRedis();
const board = await startBoard(redis.url);
const world = await openWorld({ url: redis.url, prefix: 'bench' });
try {
  const rows = Array.from({ length: 12 }, (_, index) => eachDatabase(world.operation(`step-${index}`)));
  const flow = world.workflow([...rows.slice(0, 6), barrier('half'), ...rows.slice(6)]);
  const id = await world.start(flow, databases(...Array.from({ length: count }, (_, index) => `database ${index}`)));
  console.log(`board alone: ${megabytes(board.pid)} MB`);
  await using browser = await openBrowser();
  const { page } = browser;
  const url = `${board.url}runs/${id}`;
  await page.goto(url);
  await page.locator('.rows .lane').first().waitFor();
  await page.reload();
  await page.locator('.rows .lane').first().waitFor();
  const first = await page.evaluate<{ paint: number; rows: number }>(
    `({ paint: performance.getEntriesByName('first-contentful-paint')[0].startTime, rows: performance.now() })`,
  );
  console.log(
    `${count} databases × 12 steps: first paint ${Math.round(first.paint)} ms, rows at most ${Math.round(first.rows)} ms`,
  );
  await page.getByLabel('Order').selectOption('name');
  await page.waitForTimeout(500);
  // Rows that are taken away and put back would flicker, and so would what moves.
  await page.evaluate(`{
    window.seen = { removed: 0, changed: 0, moved: 0, long: 0 };
    new MutationObserver((all) => all.forEach(({ removedNodes, type }) => {
      seen.changed += type === 'attributes' ? 1 : 0;
      seen.removed += removedNodes.length;
    })).observe(document.getElementById('rows'), { childList: true, attributes: true, subtree: true, attributeFilter: ['class'] });
    new PerformanceObserver((list) => list.getEntries().forEach(({ value }) => (seen.moved += value))).observe({ type: 'layout-shift' });
    new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => (seen.long = Math.max(seen.long, duration)))).observe({ type: 'longtask' });
  }`);
  const began = performance.now();
  const workers = await startWorkers({
    queues: world.queues,
    workflows: [flow],
    execute: async () => ({ changed: false, output: {}, findings: [] }),
    budgets: BUDGETS,
    waitDeadlineMs: 60_000,
    log: createLogger('silent'),
  });
  const heading = page.getByRole('heading', { name: id }).and(page.locator('[data-state=completed]'));
  await heading.waitFor({ timeout: 600_000 });
  console.log(`run: ${((performance.now() - began) / 1_000).toFixed(1)} s while it was watched`);
  const seen = await page.evaluate<{ removed: number; changed: number; moved: number; long: number }>('window.seen');
  console.log(
    `updates: ${seen.changed} cells changed, ${seen.removed} nodes removed, layout shift ${seen.moved.toFixed(3)}, longest task ${Math.round(seen.long)} ms`,
  );
  console.log(`board with the page open: ${megabytes(board.pid)} MB, at most ${megabytes(board.pid, 'VmHWM')} MB`);
  await workers.stop();
} finally {
  await world[Symbol.asyncDispose]();
  board.kill();
  await redis.stop();
}

async function startBoard(queue: string) {
  const folder = mkdtempSync(join(runFolder(), 'bench-'));
  const away = { host: '127.0.0.1', port: 1, user: 'u' };
  const config = {
    source: away,
    target: { ...away, port: 2 },
    queue: { url: queue, prefix: 'bench' },
    board: { port: 0 },
  };
  writeFileSync(join(folder, 'pgconvoy.yaml'), JSON.stringify(config));
  const child = spawn(process.execPath, [await builtProgram(), 'board', '--json'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  for await (const chunk of child.stdout) {
    said += String(chunk);
    if (said.endsWith('}\n')) break;
  }
  const { board: url } = JSON.parse(said) as { board: string };
  return { url, pid: child.pid!, kill: () => child.kill() };
}

function megabytes(pid: number, field: 'VmRSS' | 'VmHWM' = 'VmRSS'): number {
  const [, kilobytes = '0'] =
    new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Math.round(Number(kilobytes) / 1_024);
}
