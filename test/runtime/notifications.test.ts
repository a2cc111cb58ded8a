import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Config } from '../../src/config/schema.ts';
import type { ConfigInput } from '../../src/config/schema.ts';
import { approval, barrier, eachDatabase } from '../../src/engine/workflow.ts';
import { PgconvoyError } from '../../src/errors.ts';
import { approveRun } from '../../src/queue/control.ts';
import type { Notice } from '../../src/queue/notices.ts';
import { createDeliver, toldBy } from '../../src/runtime/notifications/deliver.ts';
import { startReceiver } from '../helpers/receiver.ts';
import { eventually } from '../helpers/wait.ts';
import { databases, openWorld } from '../queue/world.ts';

type Webhooks = NonNullable<NonNullable<ConfigInput['notifications']>['webhooks']>;

const notificationsOf = (webhooks: Webhooks) =>
  Config.shape.notifications.parse({ board: 'https://board.internal/pgconvoy/', webhooks });
const noticeOf = (id: string, more: Partial<Notice> = {}): Notice => ({
  id,
  event: 'danger',
  what: 'the disk is full',
  next: 'Make room.',
  at: Date.UTC(2026, 0, 2),
  ...more,
});

const known = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('not yet');
  return value;
};

test('a run tells of failures together, of its approval and its cutover, each once; who does not listen holds nothing up', async () => {
  await using receiver = await startReceiver();
  const away = await startReceiver();
  await away[Symbol.asyncDispose]();
  await using world = await openWorld();
  const flow = world.workflow([
    eachDatabase(world.operation('copy')),
    barrier('copied'),
    approval('Switch over now?'),
    eachDatabase(world.operation('open-target', { queue: 'cutover' }), {}, { startsOutage: true }),
  ]);
  const notifications = notificationsOf([
    { name: 'on call', url: `${receiver.url}/path-7f3a`, headers: { Authorization: 'Bearer header-51bd' } },
    { name: 'chat', url: `${receiver.url}/chat-9e21`, format: 'slack', on: ['failed-step'] },
    { name: 'away', url: `${away.url}/away-c0de` },
  ]);
  const worker = await world.work(flow, { notifications: toldBy(notifications) });
  const toOnCall = (event: string) =>
    receiver.taken.filter(({ path, body }) => path === '/path-7f3a' && body.event === event);

  world.on('copy', () => {
    throw new PgconvoyError('no <room> & no disk', { hint: 'Make room.' });
  });
  receiver.answer(500);
  const run = await world.start(flow, databases('a', 'My "odd" DB'));
  await world.until(run, 'failed-steps');
  await eventually(() => expect(receiver.refused()).toBeGreaterThan(2));
  receiver.answer(200);
  const [failed] = await eventually(() => {
    expect(toOnCall('failed-step')).toHaveLength(1);
    return toOnCall('failed-step');
  });
  expect(failed?.headers).toMatchObject({ authorization: 'Bearer header-51bd', 'content-type': 'application/json' });
  expect(failed?.body).toMatchObject({
    run,
    workflow: 'trial',
    link: `https://board.internal/pgconvoy/runs/${run}`,
  });
  expect(failed?.body.id).toBe(failed?.headers['idempotency-key']);
  expect(failed?.body.notices.map(({ database }: Notice) => database).toSorted()).toEqual(['My "odd" DB', 'a']);
  expect(failed?.body.notices[0]).toMatchObject({
    step: 'copy',
    why: 'no <room> & no disk',
    next: expect.stringContaining('Make room.'),
  });
  const chat = await eventually(() => known(receiver.taken.find(({ path }) => path === '/chat-9e21')));
  expect(Object.keys(chat.body)).toEqual(['text']);
  expect(chat.body.text).toMatch(
    /^pgconvoy trial-\S+: step copy has failed in 2 databases: ("a", "My "odd" DB"|"My "odd" DB", "a")\nwhy: no &lt;room&gt; &amp; no disk\nnext: Make room\./,
  );

  // What a person has tried again, and what fails once more, is told once more.
  await world.retry(run, flow, { database: 'a' });
  await eventually(() => expect(toOnCall('failed-step')).toHaveLength(2));
  expect(toOnCall('failed-step')[1]?.body.notices).toMatchObject([{ database: 'a' }]);

  world.calm('copy');
  await world.retry(run, flow);
  await world.until(run, 'waiting-approval');
  await approveRun(world.queues, run, 'boss');
  await world.until(run, 'completed');
  await eventually(() => expect(toOnCall('cutover-done')).toHaveLength(1));
  expect(toOnCall('cutover-done')[0]?.body.text).toContain('2 databases are open on the target');
  for (const event of ['waiting-approval', 'cutover-begun']) expect(toOnCall(event)).toHaveLength(1);
  expect(toOnCall('waiting-approval')[0]?.body.text).toContain(`pgconvoy approve ${run}`);

  // Whoever tells it once more after a crash tells nobody anything.
  await worker.tell(noticeOf('same:id'));
  await eventually(() => expect(toOnCall('danger')).toHaveLength(1));
  await worker.tell(noticeOf('same:id'));
  await worker.tell(noticeOf('other'));
  await eventually(() => expect(toOnCall('danger').length).toBeGreaterThan(1));
  expect(toOnCall('danger').map(({ body }) => body.notices[0].id)).toEqual(['same:id', 'other']);

  const isGivenUp = (line: string) => line.includes('"webhook":"away"') && line.includes('given up');
  const givenUp = await eventually(() => known(world.logged.find(isGivenUp)));
  expect(givenUp).toContain('nobody listens there');
  await eventually(async () => expect(await worker.idle()).toBe(true));
  const everything = [world.logged.join('\n')];
  for (const key of await world.redis.keys(`*${world.prefix}*`)) {
    const dumped = await world.redis.dumpBuffer(key);
    if ((await world.redis.type(key)) === 'hash') everything.push(JSON.stringify(await world.redis.hgetall(key)));
    else everything.push(String(dumped));
  }
  for (const secret of ['path-7f3a', 'header-51bd', 'chat-9e21', 'away-c0de'])
    expect(everything.filter((text) => text.includes(secret))).toEqual([]);
});

test('without an answer in time, with a certificate that nobody knows, or sent elsewhere: told so, and never where', async () => {
  await using receiver = await startReceiver();
  const tls = join(import.meta.dirname, '../helpers/tls');
  const [key, cert] = [readFileSync(join(tls, 'server.key')), readFileSync(join(tls, 'server.pem'))];
  const silent = createServer({ key, cert }, () => {});
  await once(silent.listen(0, '127.0.0.1'), 'listening');
  const { port } = silent.address() as AddressInfo;
  const deliver = createDeliver(
    notificationsOf([
      { name: 'tls', url: `https://127.0.0.1:${port}/secret-1` },
      { name: 'moved', url: `${receiver.url}/secret-2` },
      { name: 'nowhere', url: 'http://name.invalid/secret-3', timeout: '5s' },
    ]),
  );
  receiver.answer(307);
  const failure = async (name: string, signal = new AbortController().signal): Promise<string> => {
    const error: unknown = await deliver(name, { id: 'x', notices: [noticeOf('x')] }, signal).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(PgconvoyError);
    return (error as PgconvoyError).text;
  };
  const told = await Promise.all(['tls', 'moved', 'nowhere', 'unknown'].map((name) => failure(name)));
  expect(told).toEqual([
    expect.stringMatching(/^the webhook "tls" cannot be told: its certificate is not trusted \([A-Z_]+\)/),
    expect.stringMatching(/^the webhook "moved" cannot be told: it answers with status 307/),
    expect.stringMatching(/^the webhook "nowhere" cannot be told: its name /),
    expect.stringMatching(/^the configuration of this worker has no webhook "unknown"/),
  ]);
  expect(told.join('\n')).not.toMatch(/secret|127\.0\.0\.1|invalid/);
  expect(receiver.taken).toEqual([]);
  silent.close();
});
