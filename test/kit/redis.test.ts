import { existsSync } from 'node:fs';
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { startRedis } from '../helpers/servers.ts';

test('redis keeps its data through a restart and a crash, on the same port and socket', async () => {
  await using server = await startRedis();
  const client = new Redis(server.url);
  // It reconnects by itself; each attempt that fails is an event.
  client.on('error', () => {});
  try {
    await client.set('kept', 'yes');
    expect(await client.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction']);
    expect(await client.config('GET', 'appendonly')).toEqual(['appendonly', 'yes']);
    await server.restart();
    expect(await client.get('kept')).toBe('yes');
    await client.set('kept', 'still');
    await server.kill();
    await server.start();
    expect(await client.get('kept')).toBe('still');
  } finally {
    client.disconnect();
  }
  const bySocket = new Redis(server.socket);
  expect(await bySocket.get('kept')).toBe('still');
  bySocket.disconnect();
  await server.stop();
  expect(existsSync(server.folder)).toBe(false);
});
