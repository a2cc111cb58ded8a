import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeAll, expect, test } from 'vitest';
import { ensureRedis } from '../../scripts/kit/kit.ts';
import type { ConfigInput } from '../../src/config/schema.ts';
import { builtProgram } from '../helpers/program.ts';
import { recordServer, runFolder } from '../helpers/run-folder.ts';
import { sharedRedis } from '../helpers/servers.ts';
import { eventually } from '../helpers/wait.ts';

let program: string;
let queue: string;
const started: ReturnType<typeof spawn>[] = [];
beforeAll(async () => {
  program = await builtProgram();
  queue = (await sharedRedis()).url;
});
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

async function boardOf(cwd: string, env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [program, 'board', '--json'], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  started.push(child);
  let said = '';
  for await (const chunk of child.stdout!) {
    said += String(chunk);
    if (said.endsWith('}\n')) break;
  }
  return { child, url: (JSON.parse(said) as { board: string }).board };
}

/** As a person stops it. */
async function stopped(child: ReturnType<typeof spawn>): Promise<unknown> {
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  return ended;
}

/** Nobody listens where source and target are: the board is there all the same. */
function folderWith(board: ConfigInput['board'], wished: ConfigInput['queue'] = { url: queue }): string {
  const folder = mkdtempSync(join(runFolder(), 'board-'));
  const away = { host: '127.0.0.1', port: 1, user: 'u', password: 'S3cret' };
  const config: ConfigInput = {
    source: away,
    target: { ...away, port: 2 },
    queue: { prefix: 'board', ...wished },
    board,
  };
  writeFileSync(join(folder, 'pgconvoy.yaml'), JSON.stringify(config), { mode: 0o600 });
  return folder;
}

test('pgconvoy board serves until it is stopped, also where no server answers', async () => {
  const { child, url: board } = await boardOf(folderWith({ port: 0, basePath: '/b', token: 'a-word' }));
  const headers = { Authorization: 'Bearer a-word' };
  expect((await fetch(`${board}/readyz`)).status).toBe(200);
  expect((await fetch(`${board}/api/queues`)).status).toBe(401);
  expect((await fetch(`${board}/api/queues`, { headers })).status).toBe(200);
  // Pages, and what they load, came along when the program was built.
  for (const path of ['runs', 'runs/a-run', 'assets/run.js', 'assets/pages.css'])
    expect([(await fetch(`${board}/${path}`, { headers })).status, path]).toEqual([200, path]);
  const metrics = await (await fetch(`${board}/metrics`, { headers })).text();
  expect(metrics).toContain('pgconvoy_queue_up 1');
  expect(metrics).toContain('pgconvoy_server_up{side="source"} 0');
  expect(await stopped(child)).toEqual([0, null]);
});

test('without a queue it shows the board of the worker of this machine, which stays meanwhile', async () => {
  const folder = folderWith({ port: 0 }, {});
  const { child, url } = await boardOf(folder, {
    XDG_STATE_HOME: join(folder, 'state'),
    PGCONVOY_REDIS_SERVER: await ensureRedis(),
  });
  const file = readdirSync(folder, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith('worker.pid'));
  const worker = Number.parseInt(readFileSync(join(folder, file!), 'utf8'), 10);
  // Where this test fails the worker leaves it to the board, which is killed.
  recordServer(Number.parseInt(readFileSync(join(folder, dirname(file!), 'redis.pid'), 'utf8'), 10), 'SIGTERM');
  try {
    expect((await fetch(`${url}readyz`)).status).toBe(200);
    expect(((await (await fetch(`${url}api/queues`)).json()) as { queues: unknown[] }).queues).toHaveLength(6);
    expect(await stopped(child)).toEqual([0, null]);
    expect((await fetch(`${url}readyz`)).status).toBe(200);
  } finally {
    process.kill(worker, 'SIGTERM');
  }
  // It takes the redis-server with it.
  await eventually(() => expect(() => process.kill(worker, 0)).toThrow('ESRCH'), { timeoutMs: 20_000 });
});

test('pgconvoy board refuses to let in anybody from beyond this machine, before it touches anything', async () => {
  const cwd = folderWith({ host: '0.0.0.0', port: 0 }, { url: 'redis://127.0.0.1:3' });
  const { exitCode, stderr } = await execa(process.execPath, [program, 'board'], {
    cwd,
    stdin: 'ignore',
    reject: false,
  });
  expect(exitCode).toBe(2);
  expect(stderr).toContain('board.host is 0.0.0.0');
  expect(stderr).toContain('board.passwordFile');
});
