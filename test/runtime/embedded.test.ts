import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ensureRedis } from '../../scripts/kit/kit.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { LoadedConfig } from '../../src/config/load.ts';
import { connect } from '../../src/queue/connection.ts';
import { openQueues } from '../../src/queue/queues.ts';
import { workersListening } from '../../src/queue/read-run.ts';
import { ensureEmbedded, namesQueue } from '../../src/runtime/embedded/ensure.ts';
import type { Embedded } from '../../src/runtime/embedded/ensure.ts';
import { eventually } from '../helpers/wait.ts';

const PASSWORD = 'never in argv';
const SOURCE = `postgres://me:${encodeURIComponent(PASSWORD)}@127.0.0.1:1/postgres`;

describe('the queue and worker of one machine', () => {
  let program: string;
  let state: string;
  let env: Record<string, string>;
  beforeAll(async () => {
    program = await ensureRedis();
  });
  beforeEach(() => {
    state = mkdtempSync('/tmp/pgconvoy-embedded-');
    env = {
      PATH: process.env['PATH'] ?? '',
      HOME: state,
      XDG_STATE_HOME: join(state, 'state'),
      PGCONVOY_REDIS_SERVER: program,
    };
  });
  afterEach(async () => {
    for (const name of ['worker', 'redis']) for (const pid of pids(name)) killIfThere(pid);
    await eventually(() => {
      if ([...pids('worker'), ...pids('redis')].some(runs)) throw new Error('a process of this test still runs');
    });
    rmSync(state, { recursive: true, force: true });
  });

  const load = (change: { state?: string; logLevel?: string; board?: string } = {}): LoadedConfig => {
    writeFileSync(
      join(state, 'pgconvoy.yaml'),
      `logLevel: ${change.logLevel ?? 'info'}\n${change.state ? `state: ${change.state}\n` : ''}${change.board ? `board: ${change.board}\n` : ''}`,
    );
    return loadConfig({ env, cwd: state, flags: { source: SOURCE, target: 'postgres://127.0.0.1:2' } });
  };
  const ensure = (loaded: LoadedConfig, worker: boolean, idleMs = 60_000): Promise<Embedded> =>
    ensureEmbedded(loaded, { worker, env, idleMs, nodeArguments: ['--import', 'tsx'] });

  /** From the pid files in any state folder of this test. */
  const pids = (name: string): number[] =>
    readdirSync(state, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith(`${name}.pid`))
      .map((file) => Number(readFileSync(join(state, file), 'utf8').split('-')[0]));
  const pidOf = (name: string): number => {
    const [pid, ...others] = pids(name);
    expect(others).toEqual([]);
    return pid ?? 0;
  };
  const runs = (pid: number): boolean =>
    pid !== 0 && existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';
  const killIfThere = (pid: number) => runs(pid) && process.kill(pid, 'SIGKILL');
  const note = async (embedded: Embedded, text?: string): Promise<string | null> => {
    const store = await connect(embedded.queue, 'command');
    try {
      if (text !== undefined) await store.writeNote('run', 'note', text);
      return (await store.readNote('run', 'note')) ?? null;
    } finally {
      await store.close();
    }
  };

  test('the worker serves the board on loopback and says where, at another port where its own is taken; or not at all', async () => {
    const silent = await ensure(load({ board: '{ enabled: false }' }), true);
    expect(silent.board).toBeUndefined();
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const embedded = await ensure(load({ board: `{ port: ${port}, basePath: /b }` }), true);
    try {
      expect(embedded.board).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/b$/);
      expect(embedded.board).not.toContain(`:${port}/`);
      expect((await ensure(load({ board: `{ port: ${port}, basePath: /b }` }), false)).board).toBe(embedded.board);
      expect(await (await fetch(`${embedded.board}/readyz`)).json()).toEqual({ ok: true, queue: 'reachable' });
      expect(await (await fetch(`${embedded.board}/metrics`)).text()).not.toMatch(/never|argv/);
    } finally {
      taken.close();
    }
    process.kill(pidOf('worker'), 'SIGTERM');
    await eventually(async () => {
      if (runs(pidOf('worker'))) throw new Error('it has not ended yet');
    });
    await expect(fetch(`${embedded.board}/readyz`)).rejects.toThrow('fetch failed');
    await Promise.all([silent.close(), embedded.close()]);
  });

  test('is used where the configuration names no queue', () => {
    expect(namesQueue(load())).toBe(false);
    expect(
      namesQueue(
        loadConfig({ env, cwd: '/nonexistent', flags: { source: SOURCE, target: SOURCE, queue: 'redis://q' } }),
      ),
    ).toBe(true);
  });

  test('commands at the same time share one; both go when there is nothing to do, and come back with the state', async () => {
    const loaded = load();
    const all = await Promise.all([ensure(loaded, true, 500), ensure(loaded, true, 500), ensure(loaded, false)]);
    const [one] = all;
    const [worker, redis] = [pidOf('worker'), pidOf('redis')];
    expect([worker, redis].every(runs)).toBe(true);
    for (const pid of [worker, redis]) expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).not.toContain('never');
    expect(statSync(one.folder).mode & 0o077).toBe(0);

    const queues = await openQueues(one.queue, 'command');
    expect(await workersListening(queues)).toMatchObject({ count: 1 });
    await queues.close();
    expect(await note(one, 'kept')).toBe('kept');

    // As long as somebody is there, they stay.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect([worker, redis].every(runs)).toBe(true);
    await Promise.all(all.map((embedded) => embedded.close()));
    await eventually(() => expect([worker, redis].filter(runs)).toEqual([]), { timeoutMs: 15_000 });
    expect(readFileSync(join(one.folder, 'redis.log'), 'utf8')).toMatch(/ready to exit, bye bye/);
    expect(readFileSync(join(one.folder, 'worker.log'), 'utf8')).not.toMatch(/"level":"(error|fatal)"/);

    const again = await ensure(loaded, true, 500);
    expect(await note(again)).toBe('kept');
    expect(pidOf('worker')).not.toBe(worker);
    await again.close();
    await eventually(() => expect([pidOf('worker'), pidOf('redis')].filter(runs)).toEqual([]), { timeoutMs: 15_000 });
  });

  test('a command that only reads starts no worker, and leaves nothing running', async () => {
    const reader = await ensure(load(), false);
    const redis = pidOf('redis');
    expect(runs(redis)).toBe(true);
    expect(pids('worker')).toEqual([]);
    expect(await note(reader, 'read')).toBe('read');
    await reader.close();
    expect(runs(redis)).toBe(false);
  });

  test('what was killed is started again, with the state', async () => {
    const loaded = load();
    const first = await ensure(loaded, true);
    await note(first, 'survives');
    // everysec: what was written must have reached the disk.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const before = [pidOf('worker'), pidOf('redis')];
    before.forEach(killIfThere);
    await eventually(() => expect(before.filter(runs)).toEqual([]));
    writeFileSync(join(first.folder, 'lock'), '999999-1');
    const second = await ensure(loaded, true);
    expect(await note(second)).toBe('survives');
    expect([pidOf('worker'), pidOf('redis')].every(runs)).toBe(true);
    await second.close();
  });

  test('a changed configuration gets a new worker, on the same redis-server', async () => {
    const first = await ensure(load(), true);
    const [worker, redis] = [pidOf('worker'), pidOf('redis')];
    const second = await ensure(load({ logLevel: 'debug' }), true);
    expect(pidOf('redis')).toBe(redis);
    expect(pidOf('worker')).not.toBe(worker);
    expect(runs(worker)).toBe(false);
    expect(runs(redis)).toBe(true);
    await Promise.all([first.close(), second.close()]);
  });

  test('a worker that is told to stop takes the redis-server with it when nobody is there', async () => {
    const embedded = await ensure(load(), true);
    const [worker, redis] = [pidOf('worker'), pidOf('redis')];
    await embedded.close();
    process.kill(worker, 'SIGTERM');
    await eventually(() => expect([worker, redis].filter(runs)).toEqual([]), { timeoutMs: 15_000 });
  });

  test('a folder too deep for a socket has its socket elsewhere', async () => {
    const deep = join(state, 'x'.repeat(60), 'y'.repeat(60));
    const embedded = await ensure(load({ state: deep }), false);
    expect(embedded.folder.startsWith(deep)).toBe(true);
    expect(await note(embedded, 'here')).toBe('here');
    await embedded.close();
  });

  test('without a redis-server it says how to get one', async () => {
    const loaded = load();
    for (const [change, message] of [
      [{ PGCONVOY_REDIS_SERVER: '' }, /there is no redis-server on this machine/],
      [{ PGCONVOY_REDIS_SERVER: '/nowhere/redis' }, /PGCONVOY_REDIS_SERVER names no program/],
    ] as const) {
      const attempt = ensureEmbedded(loaded, { worker: true, env: { ...env, PATH: '/nonexistent', ...change } });
      await expect(attempt).rejects.toMatchObject({
        exitCode: 2,
        message: expect.stringMatching(message) as unknown,
        hint: expect.stringContaining('--queue') as unknown,
      });
    }
  });

  test('a state folder that others can read is refused', async () => {
    const embedded = await ensure(load(), false);
    await embedded.close();
    chmodSync(embedded.folder, 0o755);
    await expect(ensure(load(), false)).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining('open to others') as unknown,
    });
  });
});
