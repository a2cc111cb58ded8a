/** The same run on a Redis Cluster of two nodes, on a Redis that only a Sentinel knows, and through TLS. */
import { spawn } from 'node:child_process';
import { chownSync, copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { approval, eachDatabase } from '../../src/engine/workflow.ts';
import { approveRun } from '../../src/queue/control.ts';
import { openQueues } from '../../src/queue/queues.ts';
import { listRuns, runLogs, workersListening } from '../../src/queue/read-run.ts';
import type { QueueConfig } from '../../src/queue/store.ts';
import { ensureRedis } from '../../scripts/kit/kit.ts';
import { bundled } from '../helpers/bundled.ts';
import { freePort, makeServerFolder, ServerProcess, serverUser } from '../helpers/server-process.ts';
import { startRedis } from '../helpers/servers.ts';
import { eventually } from '../helpers/wait.ts';
import { databases, openWorld, stepOf, threeSteps } from './world.ts';

/** A redis-server with a configuration of its own, which is up when it answers PING. */
async function start(
  name: string,
  lines: (port: number, folder: string) => readonly string[],
  more: readonly string[] = [],
) {
  const program = await ensureRedis();
  const folder = makeServerFolder(name);
  const port = await freePort();
  const file = join(folder, 'redis.conf');
  writeFileSync(file, [`port ${port}`, 'bind 127.0.0.1', `dir ${folder}`, ...lines(port, folder)].join('\n'));
  if (serverUser.uid !== undefined) chownSync(file, serverUser.uid, serverUser.gid ?? serverUser.uid);
  const client = new Redis({ port, lazyConnect: true, retryStrategy: () => 50 });
  client.on('error', () => undefined);
  const server = new ServerProcess({
    label: name,
    program,
    args: [file, ...more],
    folder,
    logFile: join(folder, 'server.log'),
    endSignal: 'SIGTERM',
    isReady: () =>
      client.ping().then(
        () => true,
        () => false,
      ),
  });
  await server.start();
  return {
    port,
    client,
    async [Symbol.asyncDispose]() {
      client.disconnect();
      await server.stop('SIGKILL');
    },
  };
}

async function proveRun(url: string, place: Omit<QueueConfig, 'prefix'>): Promise<void> {
  await using world = await openWorld({ url, place });
  const flow = world.workflow([
    eachDatabase(world.operation('one')),
    eachDatabase(world.operation('two', { queue: 'copy' })),
    approval('Go?'),
    eachDatabase(world.operation('three', { queue: 'cutover' })),
  ]);
  await world.work(flow, { name: 'somewhere' });
  const id = await world.start(flow, databases('a', 'b', 'c'));
  await world.until(id, 'waiting-approval');
  await approveRun(world.queues, id, 'boss');
  expect((await world.until(id, 'completed')).summary).toMatchObject({ changed: 9 });
  expect(await listRuns(world.queues)).toHaveLength(1);
  expect((await runLogs(world.queues, id)).length).toBeGreaterThan(17);
  expect((await workersListening(world.queues)).names).toEqual(['somewhere']);
}

test('a Redis Cluster of two nodes', async () => {
  const node = (name: string) =>
    start(name, () => ['cluster-enabled yes', 'cluster-config-file nodes.conf', 'appendonly yes', 'appendfsync no']);
  await using first = await node('cluster-1');
  await using second = await node('cluster-2');
  await first.client.call('CLUSTER', 'ADDSLOTSRANGE', '0', '8000');
  await second.client.call('CLUSTER', 'ADDSLOTSRANGE', '8001', '16383');
  await first.client.call('CLUSTER', 'MEET', '127.0.0.1', String(second.port));
  for (const one of [first, second])
    await eventually(async () => expect(await one.client.call('CLUSTER', 'INFO')).toContain('cluster_state:ok'), {
      timeoutMs: 20_000,
    });
  await using plain = await startRedis({ name: 'cluster-journal' });
  await proveRun(plain.url, { clusterNodes: [{ host: '127.0.0.1', port: first.port }] });
});

test('a Redis behind a Sentinel, which makes another one the master in the middle of a run', async () => {
  await using journal = await startRedis({ name: 'sentinel-journal' });
  await using master = await startRedis({ name: 'sentinel-master' });
  await using replica = await start('sentinel-replica', () => [`replicaof 127.0.0.1 ${master.port}`, 'appendonly yes']);
  await eventually(async () => expect(await replica.client.info('replication')).toContain('master_link_status:up'), {
    timeoutMs: 20_000,
  });
  const watch = [`monitor main 127.0.0.1 ${master.port} 1`, 'down-after-milliseconds main 500'];
  await using sentinel = await start('sentinel', () => watch.map((line) => `sentinel ${line}`), ['--sentinel']);
  const place = { sentinels: [{ host: '127.0.0.1', port: sentinel.port }], sentinelName: 'main' };
  await proveRun(journal.url, place);

  await eventually(async () => expect(await sentinel.client.call('SENTINEL', 'REPLICAS', 'main')).toHaveLength(1), {
    timeoutMs: 20_000,
  });
  await using world = await openWorld({ url: journal.url, place });
  const flow = threeSteps(world);
  let goOn = () => {};
  const failedOver = new Promise<void>((resolve) => (goOn = resolve));
  world.on('a/two', () => failedOver);
  await world.work(flow);
  const id = await world.start(flow, databases('a', 'b'));
  await world.until(
    id,
    (run) => stepOf(run, 'a', 'two').state === 'active' && stepOf(run, 'b', 'three').state === 'completed',
  );
  // What is not on the other one yet would be lost, as Redis says of itself.
  const client = new Redis(master.url);
  await client.set('last', 'write');
  expect(await client.wait(1, 5_000)).toBe(1);
  client.disconnect();
  await master.kill();
  await eventually(
    async () =>
      expect(await sentinel.client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main')).toEqual([
        '127.0.0.1',
        String(replica.port),
      ]),
    { timeoutMs: 40_000 },
  );
  goOn();
  await world.until(id, 'completed', 40_000);
  expect(new Set(await world.journal()).size).toBe(6);
}, 120_000);

test('rediss:// with an authority of ours: a worker does a run; who does not know the authority is told of it', async () => {
  const tls = join(import.meta.dirname, '../helpers/tls');
  const tlsPort = await freePort();
  await using server = await start('redis-tls', (_, folder) => {
    for (const name of ['server.key', 'server.pem']) {
      copyFileSync(join(tls, name), join(folder, name));
      if (serverUser.uid !== undefined) chownSync(join(folder, name), serverUser.uid, serverUser.gid ?? serverUser.uid);
    }
    return [
      `tls-port ${tlsPort}`,
      `tls-cert-file ${folder}/server.pem`,
      `tls-key-file ${folder}/server.key`,
      'tls-auth-clients no',
      'appendonly yes',
    ];
  });
  const secure = `rediss://localhost:${tlsPort}`;
  await expect(openQueues({ url: secure, prefix: 'x' }, 'command')).rejects.toMatchObject({
    name: 'UnreachableError',
    message: expect.stringContaining(`The queue at ${secure} is not trusted: `),
    hint: expect.stringContaining('NODE_EXTRA_CA_CERTS'),
  });
  await using world = await openWorld({ url: `redis://127.0.0.1:${server.port}` });
  const words = [world.url, world.prefix, JSON.stringify({ prefix: world.prefix, url: secure })];
  const worker = spawn(process.execPath, [await bundled('test/queue/worker-process.ts'), ...words], {
    env: { ...process.env, NODE_EXTRA_CA_CERTS: join(tls, 'ca.pem') },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  try {
    const flow = threeSteps(world);
    const done = await world.until(await world.start(flow, databases('a', 'b')), 'completed', 40_000);
    expect(stepOf(done, 'a', 'three').worker).toBe(`process-${worker.pid}`);
  } finally {
    worker.kill('SIGKILL');
  }
});
