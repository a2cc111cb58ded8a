/** The same run on a Redis Cluster of two nodes, and on a Redis that only a Sentinel knows. */
import { chownSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { approval, eachDatabase } from '../../src/engine/workflow.ts';
import { approveRun } from '../../src/queue/control.ts';
import { listRuns, runLogs, workersListening } from '../../src/queue/read-run.ts';
import type { QueueConfig } from '../../src/queue/store.ts';
import { ensureRedis } from '../../scripts/kit/kit.ts';
import { freePort, makeServerFolder, ServerProcess, serverUser } from '../helpers/server-process.ts';
import { startRedis } from '../helpers/servers.ts';
import { eventually } from '../helpers/wait.ts';
import { databases, openWorld } from './world.ts';

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

test('a Redis behind a Sentinel', async () => {
  await using master = await startRedis({ name: 'sentinel-master' });
  await using sentinel = await start('sentinel', () => [`sentinel monitor main 127.0.0.1 ${master.port} 1`], [
    '--sentinel',
  ]);
  await proveRun(master.url, { sentinels: [{ host: '127.0.0.1', port: sentinel.port }], sentinelName: 'main' });
});
