/**
 * npm run bench:page [-- --databases 1000]
 * A run of so many databases whose steps do nothing: its page in a real Chromium (until something is painted, until it shows rows, what its
 * updates cost while the steps run), `pgconvoy status`, and the memory of board and worker, which are processes of their own. Both servers are
 * real, and all databases are there on the source. Prints numbers; judges nothing.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { execa } from 'execa';
import pg from 'pg';
import type { Locator, Page } from 'playwright-core';
import { setUpKit } from '../scripts/kit/setup.ts';
import { ExitCode } from '../src/errors.ts';
import { approveRun } from '../src/queue/control.ts';
import { openQueues } from '../src/queue/queues.ts';
import { enqueueRun } from '../src/queue/runs.ts';
import { openBrowser } from '../test/helpers/browser.ts';
import { bundled } from '../test/helpers/bundled.ts';
import { builtProgram, Program } from '../test/helpers/program.ts';
import { openRunFolder } from '../test/helpers/run-folder.ts';
import { clusterUrl, startRedis } from '../test/helpers/servers.ts';
import type { Cluster } from '../test/helpers/servers.ts';
import { BUDGETS, idle } from './idle-workflow.ts';
import { useMemory } from './memory.ts';
import { median } from './numbers.ts';
import { openPair } from './servers.ts';

const PREFIX = 'bench';
/** Sessions that make databases at the same time. */
const MAKERS = 2;
const MOST_MS = 600_000;

const { values } = parseArgs({ options: { databases: { type: 'string', default: '1000' } } });
const names = Array.from({ length: Number(values.databases) }, (_, index) => `database ${index}`);
await setUpKit('test');
useMemory();
openRunFolder();
await using pair = await openPair(makeDatabases, { source: 15, target: 18 });
await using redis = await startRedis({ name: 'bench-redis' });
await using program = await Program.open({
  ...pair,
  redis,
  config: { queue: { prefix: PREFIX }, board: { port: 0 } },
});
const children: ChildProcess[] = [];
const queues = await openQueues({ url: redis.url, prefix: PREFIX }, 'worker');
try {
  const board = await startProcess([await builtProgram(), 'board', '--json'], '}\n');
  const { board: address } = JSON.parse(board.said) as { board: string };
  const id = await enqueueRun(queues, {
    workflow: idle,
    databases: names.map((name, index) => ({ oid: 16_384 + index, name })),
    options: {},
    by: 'bench@here',
    version: '0.0.0',
    budgets: BUDGETS,
  });
  await using browser = await openBrowser();
  const { page } = browser;
  console.log(`board alone: ${megabytes(board.pid)} MB`);
  await open(page, `${address}runs/${id}`);
  await watchUpdates(page);
  const began = performance.now();
  const worker = await startProcess([await bundled('bench/idle-worker.ts'), redis.url, PREFIX], 'ready\n');
  await heading(page, id, 'running').waitFor({ timeout: MOST_MS });
  await status(id, 'while steps run', 1);
  await heading(page, id, 'waiting-approval').waitFor({ timeout: MOST_MS });
  await status(id, 'while it waits for approval', 5);
  await approveRun(queues, id, 'bench@here');
  await heading(page, id, 'completed').waitFor({ timeout: MOST_MS });
  console.log(`watched for ${((performance.now() - began) / 1_000).toFixed(1)} s`);
  await tellUpdates(page);
  for (const [what, { pid }] of Object.entries({ 'board, page open': board, worker }))
    console.log(`${what}: ${megabytes(pid)} MB, at most ${megabytes(pid, 'VmHWM')} MB`);
} finally {
  for (const child of children) child.kill('SIGKILL');
  await queues.close();
}

async function makeDatabases(source: Cluster): Promise<void> {
  const began = performance.now();
  const left = [...names];
  await Promise.all(
    Array.from({ length: MAKERS }, async () => {
      const client = new pg.Client({ connectionString: clusterUrl(source) });
      await client.connect();
      for (let name = left.pop(); name !== undefined; name = left.pop())
        await client.query(`create database "${name}" template template0 strategy file_copy`);
      await client.end();
    }),
  );
  console.log(`${names.length} databases made in ${((performance.now() - began) / 1_000).toFixed(0)} s`);
}

/** Twice: the second time the browser has started, and knows the modules. */
async function open(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await page.locator('.rows .lane').first().waitFor();
  await page.reload();
  await page.locator('.rows .lane').first().waitFor();
  const first = await page.evaluate<{ paint: number; rows: number }>(
    `({ paint: performance.getEntriesByName('first-contentful-paint')[0].startTime, rows: performance.now() })`,
  );
  console.log(
    `${names.length} databases × 12 steps: first paint ${Math.round(first.paint)} ms, rows at most ${Math.round(first.rows)} ms`,
  );
}

/** Rows that are taken away and put back would flicker, and so would what moves. By name, so that no row has a reason to go. */
async function watchUpdates(page: Page): Promise<void> {
  await page.getByLabel('Order').selectOption('name');
  await page.waitForTimeout(500);
  await page.evaluate(`{
    window.seen = { rows: 0, changed: 0, moved: 0, long: 0 };
    const isRow = (node) => node.nodeType === 1 && node.matches('.lane');
    new MutationObserver((all) => all.forEach(({ addedNodes, removedNodes, type }) => {
      seen.changed += type === 'attributes' ? 1 : 0;
      seen.rows += [...addedNodes, ...removedNodes].filter(isRow).length;
    })).observe(document.getElementById('rows'), { childList: true, attributes: true, subtree: true, attributeFilter: ['class'] });
    new PerformanceObserver((list) => list.getEntries().forEach(({ value }) => (seen.moved += value))).observe({ type: 'layout-shift' });
    new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => (seen.long = Math.max(seen.long, duration)))).observe({ type: 'longtask' });
  }`);
}

async function tellUpdates(page: Page): Promise<void> {
  const seen = await page.evaluate<{ rows: number; changed: number; moved: number; long: number }>('window.seen');
  const longest = seen.long === 0 ? 'no task of 50 ms or more' : `longest task ${Math.round(seen.long)} ms`;
  console.log(
    `updates: ${seen.changed} cells changed, ${seen.rows} rows made or taken away, layout shift ${seen.moved.toFixed(3)}, ${longest}`,
  );
}

function heading(page: Page, id: string, state: string): Locator {
  return page.getByRole('heading', { name: id }).and(page.locator(`[data-state=${state}]`));
}

/** As the person waits for it, and its share of a processor, which others on the machine change less; the one in the middle. */
async function status(id: string, when: string, times: number): Promise<void> {
  const main = await builtProgram();
  for (const words of [
    ['status', id],
    ['status', id, '--json'],
  ]) {
    const seconds: number[] = [];
    const processor: number[] = [];
    for (let time = 1; time <= times; time += 1) {
      const began = performance.now();
      const timed = ['-c', 'TIMEFORMAT="%U %S"; time "$@" > /dev/null', 'bash', process.execPath, main, ...words];
      const { exitCode, stderr } = await execa('bash', timed, { cwd: program.folder, stdin: 'ignore', reject: false });
      if (exitCode !== ExitCode.ok && exitCode !== ExitCode.waiting) throw new Error(stderr);
      seconds.push((performance.now() - began) / 1_000);
      processor.push(stderr.split(/\s+/).reduce((sum, text) => sum + Number(text), 0));
    }
    console.log(
      `${words.join(' ')}, ${when}: ${median(seconds).toFixed(2)} s, ${median(processor).toFixed(2)} s of a processor`,
    );
  }
}

/** Started, and waited for until it has said what ends like this. */
async function startProcess(
  words: readonly string[],
  end: string,
): Promise<{ readonly said: string; readonly pid: number }> {
  const child = spawn(process.execPath, words, { cwd: program.folder, stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  let said = '';
  while (!said.endsWith(end)) said += String((await once(child.stdout, 'data'))[0]);
  return { said, pid: child.pid! };
}

function megabytes(pid: number, field: 'VmRSS' | 'VmHWM' = 'VmRSS'): number {
  const [, kilobytes = '0'] =
    new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Math.round(Number(kilobytes) / 1_024);
}
