import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeAll, expect, test } from 'vitest';
import type { ConfigInput } from '../../src/config/schema.ts';
import { builtProgram } from '../helpers/program.ts';
import { runFolder } from '../helpers/run-folder.ts';
import { sharedRedis } from '../helpers/servers.ts';

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

/** Nobody listens where source and target are: the board is there all the same. */
function folderWith(board: ConfigInput['board'], url = queue): string {
  const folder = mkdtempSync(join(runFolder(), 'board-'));
  const away = { host: '127.0.0.1', port: 1, user: 'u', password: 'S3cret' };
  const config: ConfigInput = { source: away, target: { ...away, port: 2 }, queue: { url, prefix: 'board' }, board };
  writeFileSync(join(folder, 'pgconvoy.yaml'), JSON.stringify(config), { mode: 0o600 });
  return folder;
}

test('pgconvoy board serves until it is stopped, also where no server answers', async () => {
  const child = spawn(process.execPath, [program, 'board', '--json'], {
    cwd: folderWith({ port: 0, basePath: '/b', token: 'a-word' }),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  started.push(child);
  let said = '';
  for await (const chunk of child.stdout!) {
    said += String(chunk);
    if (said.endsWith('}\n')) break;
  }
  const { board } = JSON.parse(said) as { board: string };
  const headers = { Authorization: 'Bearer a-word' };
  expect((await fetch(`${board}/readyz`)).status).toBe(200);
  expect((await fetch(`${board}/api/queues`)).status).toBe(401);
  expect((await fetch(`${board}/api/queues`, { headers })).status).toBe(200);
  const metrics = await (await fetch(`${board}/metrics`, { headers })).text();
  expect(metrics).toContain('pgconvoy_queue_up 1');
  expect(metrics).toContain('pgconvoy_server_up{side="source"} 0');
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
});

test('pgconvoy board refuses to let in anybody from beyond this machine, before it touches anything', async () => {
  const cwd = folderWith({ host: '0.0.0.0', port: 0 }, 'redis://127.0.0.1:3');
  const { exitCode, stderr } = await execa(process.execPath, [program, 'board'], {
    cwd,
    stdin: 'ignore',
    reject: false,
  });
  expect(exitCode).toBe(2);
  expect(stderr).toContain('board.host is 0.0.0.0');
  expect(stderr).toContain('board.passwordFile');
});
