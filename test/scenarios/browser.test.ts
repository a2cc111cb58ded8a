import { expect, test } from 'vitest';
import { upgrade } from '../../workflows/upgrade.ts';
import { createLogger } from '../../src/log.ts';
import { operations } from '../../src/operations/index.ts';
import { readRun } from '../../src/queue/read-run.ts';
import { startWorkers } from '../../src/queue/workers.ts';
import { createExecutor } from '../../src/runtime/execute.ts';
import { readStatus } from '../../src/runtime/status/read-status.ts';
import { openSite } from '../board/site.ts';
import { openBrowser } from '../helpers/browser.ts';
import { TestPair } from '../helpers/pair.ts';
import { startCluster } from '../helpers/servers.ts';
import { eventually } from '../helpers/wait.ts';
import { BUDGETS } from '../queue/world.ts';

const ROWS = `create table kept (id int primary key, word text); insert into kept select n, 'w' || n from generate_series(1, 500) n;`;

/**
 * One real run of the whole upgrade on real servers, in front of a board. Three of its two hundred databases are there; the steps of the
 * others are jobs as well, which find that all holds.
 */
async function openStage() {
  const settings = { wal_level: 'logical', max_replication_slots: 20, max_wal_senders: 20 };
  const [source, target] = await Promise.all([
    startCluster({ major: 15, name: 'source', settings }),
    startCluster({ major: 18, name: 'target', settings }),
  ]);
  const pair = await TestPair.open({ source, target });
  const broken = await pair.database(
    'billing "2"',
    `${ROWS} create table notes (body json); insert into notes values ('{"a": 1}')`,
  );
  const real = [await pair.database('shop', ROWS), broken, await pair.database('Ünïcode %', ROWS)];
  const oids = await pair.query('source', 'postgres', 'select oid::int, datname as name from pg_database');
  const others = Array.from({ length: 200 - real.length }, (_, index) => `customer ${String(index).padStart(3, '0')}`);
  const databases = [
    ...others.map((name, index) => ({ oid: 1_000_000 + index, name })),
    ...(oids as { oid: number; name: string }[]).filter(({ name }) => real.includes(name)),
  ];
  const site = await openSite({ workflows: [upgrade], readClusters: (signal) => readStatus(pair.clusters, signal) });
  const executor = createExecutor(pair.clusters, operations);
  let letCutoverBegin = () => {};
  const cutoverBegins = new Promise<void>((resolve) => (letCutoverBegin = resolve));
  const workers = await startWorkers({
    queues: site.world.queues,
    workflows: [upgrade],
    execute: async (execution) => {
      const { database, run, step } = execution;
      if (step.operation === 'fence-source') await cutoverBegins;
      if (database && !real.includes(database.name)) return { changed: false, output: {}, findings: [] };
      return executor.execute({
        ...execution,
        run: { ...run, databases: run.databases.filter(({ name }) => real.includes(name)) },
      });
    },
    budgets: { ...BUDGETS, operations: 16, copies: 16, cutovers: 16 },
    waitDeadlineMs: 60_000,
    log: createLogger('silent'),
  });
  return {
    pair,
    broken,
    site,
    id: await site.world.start(upgrade, databases),
    letCutoverBegin,
    async [Symbol.asyncDispose]() {
      await workers.stop();
      await executor.close();
      await site[Symbol.asyncDispose]();
      await pair[Symbol.asyncDispose]();
      await Promise.all([source.stop(), target.stop()]);
    },
  };
}

test('a person with nothing but a browser finds a failed database among 200, repairs and retries it, approves, and sees the result', async () => {
  await using stage = await openStage();
  const { pair, broken, site, id, letCutoverBegin } = stage;
  const { queues } = site.world;

  await using browser = await openBrowser();
  const { page, complaints } = browser;
  await page.goto(`${site.url}/runs`);
  await page.getByRole('link', { name: id }).click();
  const grid = page.getByRole('grid', { name: 'Databases and their steps' });
  await page.getByRole('button', { name: 'Retry failed steps…' }).waitFor({ timeout: 90_000 });
  await page.getByText('200 databases', { exact: true }).waitFor();

  // Only rows that can be seen exist.
  expect(await grid.getByRole('row').count()).toBeLessThan(100);
  await page.getByLabel('Search').fill('customer 00');
  await page.getByText('10 of 200 databases').waitFor();

  // By keyboard: down to a database, open, close.
  await grid.getByRole('link', { name: 'customer 000' }).focus();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  const panel = page.getByRole('complementary');
  await panel.getByRole('heading', { name: 'customer 001' }).waitFor();
  await page.keyboard.press('Escape');
  await panel.waitFor({ state: 'hidden' });
  expect(await page.evaluate('document.activeElement.textContent')).toBe('customer 001');

  // What has failed, and why.
  await page.getByLabel('Search').fill('');
  await page.getByLabel('Show').selectOption('failed');
  await page.getByText('1 of 200 databases').waitFor();
  await grid.getByRole('link', { name: broken }).click();
  await panel.getByRole('heading', { name: broken }).waitFor();
  expect(await panel.locator('.problem').textContent()).toContain('notes');
  const remedy = /ALTER TABLE .* ADD PRIMARY KEY \(…\);/.exec(
    (await panel.locator('.remedy').textContent()) ?? '',
  )?.[0];
  expect(remedy).toBeDefined();
  await pair.query(
    'source',
    broken,
    `alter table notes add column id int generated always as identity; ${remedy!.replace('…', 'id')}`,
  );

  // Asked once each; no means no.
  const dialog = page.getByRole('dialog');
  const retry = panel.getByRole('button', { name: 'Retry this step…' });
  await retry.click();
  await dialog.getByRole('button', { name: 'Not now' }).click();
  await dialog.waitFor({ state: 'hidden' });
  expect((await readRun(queues, id)).state).toBe('failed-steps');
  await retry.click();
  await dialog.getByRole('button', { name: 'Retry', exact: true }).click();
  await page.getByRole('status').getByText('One step is tried again.').waitFor();
  await page.keyboard.press('Escape');
  await page.getByLabel('Show').selectOption('all');
  await page.getByLabel('Search').fill('customer 00');
  const watched = page.locator('[data-key="db=customer 007"]');
  await watched.evaluate((row: any) => (row.watched = 1));
  const before = await watched.getByRole('gridcell', { name: /^step \d+ of/ }).getAttribute('aria-label');
  await page.getByRole('button', { name: 'Approve…' }).click({ timeout: 120_000 });
  await dialog.getByRole('heading', { name: 'Switch over now?' }).waitFor();
  await dialog.getByRole('button', { name: 'Approve', exact: true }).click();

  // The board is away while the run ends: the page says so, and shows the end when the board is back.
  await page.getByText('approved by somebody@here (board)').waitFor();
  const startAgain = await site.stopBoard();
  const away = page.getByText('The board does not answer; what is shown may be old. Trying again…');
  await away.waitFor();
  letCutoverBegin();
  await site.world.until(id, 'completed', 120_000);
  expect(await page.title()).not.toContain('completed');
  await startAgain();
  await away.waitFor({ state: 'hidden' });

  // The result: on the page, in the run, on the servers.
  await eventually(async () => expect(await page.title()).toBe(`completed · ${id}`), { timeoutMs: 120_000 });
  await page.getByText(/^3 of 200 databases switched over, longest outage /).waitFor();
  expect(await page.locator('#facts').textContent()).toContain('approved by somebody@here (board)');
  // Nothing flickered: the row that was watched has changed and is the same element.
  await watched.getByRole('gridcell', { name: 'all steps done' }).waitFor();
  expect([before, await watched.evaluate((row: any) => row.watched)]).toEqual([
    expect.stringMatching(/^step \d+ of/),
    1,
  ]);

  await page.getByLabel('Search').fill('billing');
  await grid.getByRole('link', { name: broken }).click();
  await panel.getByText(/^Nobody could write to it for /).waitFor();
  const run = await readRun(queues, id);
  expect([run.state, run.stages.find(({ kind }) => kind === 'gate')?.approval?.by]).toEqual([
    'completed',
    'somebody@here (board)',
  ]);
  const counted = 'select (select count(*) from kept)::int as kept, (select count(*) from notes)::int as notes';
  expect(await pair.query('target', broken, counted)).toEqual([{ kept: 500, notes: 1 }]);

  // The browser itself notes each time that nobody answered.
  expect(complaints.filter((text) => !/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING/.test(text))).toEqual([]);
});
