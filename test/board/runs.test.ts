import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { approval, eachDatabase } from '../../src/engine/workflow.ts';
import type { Workflow } from '../../src/engine/workflow.ts';
import { PgconvoyError } from '../../src/errors.ts';
import { writeLag } from '../../src/queue/lag-record.ts';
import { readRun } from '../../src/queue/read-run.ts';
import { eventually } from '../helpers/wait.ts';
import { databases, stepOf } from '../queue/world.ts';
import type { World } from '../queue/world.ts';
import { openSite } from './site.ts';
import type { Site } from './site.ts';

const ODD = 'My "odd" <DB> & ünï/code%';

/** Fills the workflows that the site was opened with. */
function gated(world: World, workflows: Workflow[]): Workflow {
  const flow = world.workflow([
    eachDatabase(world.operation('one')),
    eachDatabase(world.operation('two', { queue: 'copy' })),
    approval('Go on?'),
    eachDatabase(world.operation('three')),
  ]);
  workflows.push(flow);
  world.on(`${ODD}/two`, () => {
    throw new PgconvoyError('no room', { hint: 'make room' });
  });
  return flow;
}

interface Event {
  readonly name: string;
  readonly data: any;
}

/** What a page hears, as it comes. */
async function hear(site: Site, path: string, headers: Record<string, string> = {}) {
  const away = new AbortController();
  const answer = await fetch(`${site.url}${path}`, { headers, signal: away.signal });
  const events: Event[] = [];
  const reading = (async () => {
    let text = '';
    for await (const chunk of answer.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const blocks = text.split('\n\n');
      text = blocks.pop()!;
      for (const block of blocks) {
        const [, name, data] = /^event: (.*)\ndata: (.*)$/.exec(block) ?? [];
        if (name !== undefined) events.push({ name, data: JSON.parse(data!) });
      }
    }
  })().catch(() => {});
  return {
    events,
    type: answer.headers.get('content-type'),
    async [Symbol.asyncDispose]() {
      away.abort();
      await reading;
    },
  };
}

test('a page hears everything once and then only what changes; steering is that of the commands, and records who', async () => {
  const workflows: Workflow[] = [];
  await using site = await openSite({ config: { user: 'op', password: 'p', token: 't', basePath: '/b' }, workflows });
  const { world } = site;
  const headers = { Authorization: `Basic ${Buffer.from('op:p').toString('base64')}` };
  const flow = gated(world, workflows);
  await world.work(flow);
  const id = await world.start(flow, databases('shop', ODD));
  await world.until(id, (run) => run.state === 'failed-steps' && stepOf(run, 'shop', 'two').state === 'completed');

  const at = Date.now() - 600_000;
  await writeLag(world.queues, { at, databases: { [ODD]: [5_000, 12, 7_000] } });
  await writeLag(world.queues, { at: at - 90_000_000, databases: { [ODD]: [1, 1, 1] } });
  await using heard = await hear(site, `/runs/${id}/events`, headers);
  expect(heard.type).toContain('text/event-stream');
  const all = await eventually(
    () => heard.events.find(({ name }) => name === 'all') ?? Promise.reject(new Error('no')),
  );
  expect(all.data.lanes).toMatchObject([
    { name: 'shop', cells: 'ccp', done: 2, state: 'pending' },
    { name: ODD, cells: 'cfp', done: 1, state: 'failed', error: 'no room' },
  ]);
  expect(all.data.head).toMatchObject({
    state: 'failed-steps',
    workers: 1,
    problems: [{ kind: 'failed', key: 'two', message: 'no room', hint: 'make room', databases: [ODD], count: 1 }],
  });
  await eventually(() => expect(heard.events.map(({ name }) => name)).toContain('clusters'));
  const lane = await site.get(`/runs/${id}/lane?database=${encodeURIComponent(ODD)}`, headers);
  expect(await lane.json()).toMatchObject({
    name: ODD,
    steps: [{ key: 'one', state: 'completed' }, { error: { hint: 'make room' } }, {}],
    // From before this page was opened, as the watchdog has noted it; nothing of another day.
    samples: [{ at, lagBytes: 5_000, lagSeconds: 12, retainedBytes: 7_000 }],
  });
  expect((await site.get(`/runs/${id}/lane?database=nobody`, headers)).status).toBe(404);

  const steer = async (what: string, body: object, more: Record<string, string> = {}) => {
    const answer = await site.change('POST', `/runs/${id}/${what}`, body, { ...headers, ...more });
    return [answer.status, Object.values((await answer.json()) as object).at(-1)] as const;
  };
  for (const what of ['retry', 'approve', 'cancel', 'resume']) {
    expect(await steer(what, {}, { 'X-XSRF-TOKEN': 'guess' })).toEqual([
      403,
      expect.stringContaining('Load the page again.'),
    ]);
    expect(await steer(what, {}, { 'Sec-Fetch-Site': 'cross-site' })).toEqual([
      403,
      expect.stringContaining('not of this board'),
    ]);
    expect(await steer(what, {}, { Authorization: '' })).toEqual([401, expect.stringContaining('Who are you?')]);
  }
  expect((await readRun(world.queues, id)).state).toBe('failed-steps');
  expect(await steer('approve', { stage: 1 })).toEqual([
    409,
    expect.stringContaining('does not wait for an approval yet'),
  ]);
  expect(await steer('retry', { database: 'nobody' })).toEqual([
    409,
    expect.stringContaining('has no database "nobody"'),
  ]);
  world.calm(`${ODD}/two`);
  expect(await steer('retry', { database: ODD })).toEqual([200, 'One step is tried again.']);
  await world.until(id, 'waiting-approval');
  const changed = await eventually(() => {
    const lines = heard.events.filter(({ name }) => name === 'lanes').flatMap(({ data }) => data);
    expect(lines.at(-1)).toMatchObject([1, { cells: 'ccp' }]);
    return lines as [number, object][];
  });
  // Nothing had happened to the other one.
  expect(new Set(changed.map(([index]) => index))).toEqual(new Set([1]));
  expect(heard.events.filter(({ name }) => name === 'all')).toHaveLength(1);

  expect(await steer('approve', { stage: 0 })).toEqual([
    409,
    'Not done: the run now waits for another approval, "Go on?".',
  ]);
  const three = `hold:shop/three`;
  await world.redis.set(`${world.prefix}-world:${three}`, '1');
  expect(await steer('approve', { stage: 1 })).toEqual([200, 'Approved: Go on?']);
  expect(await steer('approve', { stage: 1 })).toEqual([
    409,
    expect.stringContaining('already approved, by op@here (board)'),
  ]);
  await world.until(id, (run) => stepOf(run, 'shop', 'three').state === 'active');
  expect(await steer('cancel', {}, { Authorization: 'Bearer t' })).toEqual([
    200,
    expect.stringContaining('Cancelled.'),
  ]);
  const cancelled = await world.until(id, 'cancelled');
  expect(cancelled.cancel?.by).toBe('token@here (board)');
  expect(cancelled.stages[1]?.approval?.by).toBe('op@here (board)');
  expect(await steer('retry', {})).toEqual([409, expect.stringContaining('is cancelled')]);
  await world.redis.del(`${world.prefix}-world:${three}`);
  expect(await steer('resume', {})).toEqual([200, expect.stringContaining('tried again')]);
  await world.until(id, 'completed');
  await eventually(() => expect(heard.events.findLast(({ name }) => name === 'head')?.data.state).toBe('completed'));

  await using list = await hear(site, '/runs/events', headers);
  await eventually(() =>
    expect(list.events.find(({ name }) => name === 'runs')?.data.runs).toMatchObject([{ id, state: 'completed' }]),
  );
  await using nothing = await hear(site, '/runs/no-such-run/events', headers);
  await eventually(() =>
    expect(nothing.events.find(({ name }) => name === 'gone')?.data.message).toContain('no-such-run'),
  );
});

test('pages and what they load come from below the base path, and only what is there', async () => {
  await using site = await openSite({ config: { basePath: '/tools/pgconvoy' } });
  for (const path of ['/runs', '/runs/some-run']) {
    const page = await site.get(path);
    const text = await page.text();
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    expect(text).toContain('<base href="/tools/pgconvoy/" />');
    // The policy forbids both.
    expect(text).not.toMatch(/<script(?![^>]*src=)|<style| style=| on\w+=/);
    expect(page.headers.get('set-cookie')).toContain('XSRF-TOKEN=');
  }
  const files = readdirSync(join(import.meta.dirname, '../../src/board/pages/assets'));
  expect(files.length).toBeGreaterThan(5);
  for (const file of files) expect((await site.get(`/assets/${file}`)).status).toBe(200);
  for (const path of ['/assets/..%2frun.html', '/assets/nothing.js', '/assets/'])
    expect([(await site.get(path)).status, path]).toEqual([404, path]);
  expect((await site.get('/assets/run.js')).headers.get('content-type')).toContain('text/javascript');
});
