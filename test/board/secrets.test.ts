import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { secretsOf } from '../../src/config/secrets.ts';
import { QUEUES } from '../../src/queue/queues.ts';
import { startRedis } from '../helpers/servers.ts';
import { databases, threeSteps } from '../queue/world.ts';
import { openSite } from './site.ts';
import type { Site } from './site.ts';

const SECRET = 'S3cret';

/** What a page hears of what is there, and that a look at the clusters has failed. */
async function heard(site: Site, path: string, headers: Record<string, string>): Promise<string> {
  const away = new AbortController();
  const answer = await fetch(`${site.url}${path}`, { headers, signal: away.signal });
  let text = '';
  for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (
      path === '/runs/events' ? text.includes('"runs"') : text.includes('event: all') && text.includes('"holds":true')
    )
      break;
  }
  away.abort();
  return text;
}

test('no secret is anywhere: every page and every answer of a board with passwords everywhere', async () => {
  await using server = await startRedis({ name: 'secrets' });
  const admin = new Redis(server.url);
  await admin.config('SET', 'requirepass', `${SECRET}-queue`);
  admin.disconnect();
  const { config } = loadConfig({
    env: { HOME: '/nonexistent', PGPASSWORD: `${SECRET}-source` },
    cwd: '/nonexistent',
    flags: { source: 'postgres://u@old', target: `postgres://u:${SECRET}-target@new` },
  });
  const url = `redis://default:${SECRET}-queue@127.0.0.1:${server.port}`;
  const board = { user: 'op', password: `${SECRET}-board`, token: `${SECRET}-token` };
  expect(secretsOf({ ...config, board: { ...config.board, ...board } })).toHaveLength(4);
  await using site = await openSite({
    config: board,
    server: { url },
    readClusters: async () => {
      throw new Error(`could not connect with password=${SECRET}-target`);
    },
  });
  const { world } = site;
  const flow = threeSteps(world);
  world.on('b/two', () => {
    throw new Error(`cannot reach postgres://u:${SECRET}-source@old/b (password='${SECRET}-source')`);
  });
  await world.work(flow);
  const id = await world.start(flow, databases('a', 'b'));
  const run = await world.until(id, 'failed-steps');

  const jobs = [
    `run/${id}`,
    ...run.stages.flatMap(({ steps }) => steps.map((step) => `${step.queue}/${encodeURIComponent(step.id)}`)),
  ];
  const paths = [
    '/',
    '/healthz',
    '/readyz',
    '/metrics',
    '/queue/copy',
    '/runs',
    `/runs/${id}`,
    `/runs/${id}/lane?database=b`,
    '/nothing',
    '/api/redis/stats',
    '/api/job-schedulers',
    '/api/queues',
    ...QUEUES.map((name) => `/api/queues?activeQueue=${name}&status=latest`),
    ...QUEUES.flatMap((name) =>
      ['metrics', 'default-job-options', 'workers', 'rate-limit', 'job-data-schema'].map(
        (what) => `/api/queues/${name}/${what}`,
      ),
    ),
    ...jobs.flatMap((job) => ['', '/logs', '/flow'].map((what) => `/api/queues/${job}${what}`)),
  ];
  const headers = { Authorization: `Bearer ${board.token}` };
  let seen = '';
  for (const path of paths) {
    const answer = await site.get(path, headers);
    expect([answer.status < 500, path]).toEqual([true, path]);
    seen += `${JSON.stringify([...answer.headers])}\n${await answer.text()}\n`;
  }
  seen += await (await site.get('/')).text();
  for (const path of ['/runs/events', `/runs/${id}/events`]) seen += await heard(site, path, headers);
  // It was really the failed step that was looked at.
  expect(seen).toContain('cannot reach postgres://***@old/b');
  expect(seen).not.toContain(SECRET);
  expect(seen).not.toContain(Buffer.from(`op:${board.password}`).toString('base64'));
  expect(world.logged.join('\n')).not.toContain(SECRET);
});
