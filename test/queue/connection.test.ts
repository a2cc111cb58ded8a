import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { ExitCode, UnreachableError } from '../../src/errors.ts';
import { checkServer } from '../../src/queue/store.ts';
import { openQueues } from '../../src/queue/queues.ts';
import { listRuns, readRun, workersListening } from '../../src/queue/read-run.ts';
import { sharedRedis, startRedis } from '../helpers/servers.ts';

const open = (config: Partial<Parameters<typeof openQueues>[0]>) =>
  openQueues({ prefix: 'connection-test', ...config }, 'command');

async function failure(work: Promise<unknown>): Promise<{ error: UnreachableError; milliseconds: number }> {
  const begun = Date.now();
  const error = await work.then(
    () => {
      throw new Error('it worked');
    },
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UnreachableError);
  return { error: error as UnreachableError, milliseconds: Date.now() - begun };
}

test('by URL, with a database number, and by socket', async () => {
  const { url, socket } = await sharedRedis();
  for (const place of [url, `${url}/3`, `unix://${socket}`, socket]) {
    const queues = await open({ url: place });
    expect(await listRuns(queues)).toEqual([]);
    expect(await workersListening(queues)).toEqual({ count: 0, names: [] });
    await queues.close();
  }
});

test('a queue that is down is one text with the remedy, at once', async () => {
  const { error, milliseconds } = await failure(open({ url: 'redis://somebody:geheim@127.0.0.1:1' }));
  expect(milliseconds).toBeLessThan(2_000);
  expect(error.exitCode).toBe(ExitCode.unreachable);
  expect(error.message).toBe('The queue at redis://127.0.0.1:1 cannot be reached: connect ECONNREFUSED 127.0.0.1:1');
  expect(error.text).toContain('queue.url');
  expect(error.text).not.toContain('geheim');
});

test('a name that does not exist, a missing socket, Sentinel and Cluster that are down: the same text', async () => {
  const places = [
    { url: 'redis://no-such-host.invalid' },
    { url: 'unix:///nowhere/redis.sock' },
    { sentinels: [{ host: '127.0.0.1', port: 1 }], sentinelName: 'main', url: 'redis://me:geheim@ignored' },
    { clusterNodes: [{ host: '127.0.0.1', port: 1 }], password: 'geheim' },
  ];
  for (const place of places) {
    const { error, milliseconds } = await failure(open(place));
    expect(error.message).toContain('cannot be reached');
    expect(error.text).not.toContain('geheim');
    expect(milliseconds).toBeLessThan(6_000);
  }
});

test('something that is not Redis and never answers does not hang a command', async () => {
  const server = createServer(() => undefined).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  try {
    const { error, milliseconds } = await failure(
      open({ url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}` }),
    );
    expect(error.message).toContain('no answer within');
    expect(milliseconds).toBeLessThan(8_000);
  } finally {
    server.close();
  }
});

test('a wrong password is said, and the password is not', async () => {
  await using server = await startRedis({ name: 'redis-password' });
  const admin = new Redis(server.url);
  await admin.config('SET', 'requirepass', 'richtig/@:%');
  admin.disconnect();
  for (const url of [server.url, `redis://:geheim@127.0.0.1:${server.port}`]) {
    const { error } = await failure(open({ url }));
    expect(error.message).toContain('refused us');
    expect(error.text).not.toContain('geheim');
    expect(error.hint).toContain('queue.passwordFile');
  }
  const byUrl = await open({ url: `redis://:${encodeURIComponent('richtig/@:%')}@127.0.0.1:${server.port}` });
  await byUrl.close();
  const byFile = await open({ url: server.url, password: 'richtig/@:%' });
  expect(byFile.address).toBe(`redis://127.0.0.1:${server.port}`);
  await byFile.close();
});

test('an address that is none is a mistake of the configuration, and is not repeated in the text', async () => {
  for (const url of [
    'http://x',
    'redis://:geheim@',
    'redis://me:geheim@host:99999',
    'redis://me:%zz@host',
    'redis://geheim@host/x',
  ]) {
    await expect(open({ url })).rejects.toMatchObject({
      name: 'ConfigError',
      message: 'queue.url is not an address of a Redis server.',
    });
  }
  await expect(open({})).rejects.toMatchObject({ name: 'ConfigError' });
});

test('Redis going away under a command is the same text, and the command works again when it is back', async () => {
  await using server = await startRedis({ name: 'redis-away' });
  const queues = await open({ url: server.url });
  await listRuns(queues);
  await server.shutdown();
  const { error, milliseconds } = await failure(readRun(queues, 'any'));
  expect(error.message).toContain('cannot be reached');
  expect(milliseconds).toBeLessThan(5_000);
  await server.start();
  await expect.poll(() => listRuns(queues).catch(() => 'down'), { timeout: 10_000 }).toEqual([]);
  await queues.close();
});

test('a server that can lose runs is reported', async () => {
  await using server = await startRedis({ name: 'redis-careless', aof: false });
  const queues = await open({ url: server.url });
  const admin = new Redis(server.url);
  await admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
  admin.disconnect();
  const warnings = await checkServer(queues);
  expect(warnings.map((warning) => warning.message.replace(/.* has /, ''))).toEqual([
    'maxmemory-policy allkeys-lru: when its memory is full it throws jobs away.',
    'appendonly no: after a crash of Redis the run is gone.',
  ]);
  await queues.close();
  const careful = await open({ url: (await sharedRedis()).url });
  expect(await checkServer(careful)).toEqual([]);
  await careful.close();
});
