import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ensureRedis } from '../../scripts/kit/kit.ts';
import { loadConfig } from '../../src/config/load.ts';
import { onServer } from '../helpers/pair.ts';
import { builtProgram, WorkerProcess } from '../helpers/program.ts';
import { CTRL_C, DOWN, PseudoTerminal } from '../helpers/pseudo-terminal.ts';
import { runFolder } from '../helpers/run-folder.ts';
import { awkwardPassword, clusterUrl, startCluster, startRedis } from '../helpers/servers.ts';
import type { Cluster, RedisServer } from '../helpers/servers.ts';
import { eventually } from '../helpers/wait.ts';

const SECRET = 'open "sesame": ü';

let program: string;
let source: Cluster;
let target: Cluster;
let redis: RedisServer;
let folder: string;
let env: Record<string, string>;

beforeAll(async () => {
  [program, source, target, redis] = await Promise.all([
    builtProgram(),
    startCluster({ major: 15 }),
    startCluster({ major: 18 }),
    startRedis(),
  ]);
  await onServer(source, 'postgres', 'create database zoo');
  await onServer(source, 'zoo', 'create table animal (id int primary key)');
});
afterAll(() => Promise.all([source, target, redis].map((server) => server?.stop())));
beforeEach(async () => {
  folder = mkdtempSync(join(runFolder(), 'config-'));
  env = {
    HOME: folder,
    NO_COLOR: '1',
    PATH: `${target.bin}:${process.env['PATH']}`,
    PGCONVOY_REDIS_SERVER: await ensureRedis(),
  };
});

const file = () => join(folder, 'pgconvoy.yaml');
const text = () => readFileSync(file(), 'utf8');
const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);
const atTerminal = (words: readonly string[], more: Readonly<Record<string, string>> = {}) =>
  new PseudoTerminal([process.execPath, program, ...words], { cwd: folder, env: { ...env, ...more } });

/** Where nobody can answer. */
async function pgconvoy(words: readonly string[], more: Readonly<Record<string, string>> = {}) {
  const { exitCode, stdout, stderr } = await execa(process.execPath, [program, ...words], {
    cwd: folder,
    env: { ...env, ...more },
    extendEnv: false,
    stdin: 'ignore',
    reject: false,
  });
  return { code: exitCode, stdout, stderr };
}

const flags = () => ['--source', clusterUrl(source), '--target', clusterUrl(target)];
const write = (...words: readonly string[]) =>
  pgconvoy(['config', '--non-interactive', ...flags(), ...words], { PGCONVOY_CONFIG_PASSWORD: SECRET });

/** The worker of a private queue takes its redis-server with it. */
async function endWorkerIn(state: string): Promise<void> {
  const files = readdirSync(state, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /(worker|redis)\.pid$/.test(name),
  );
  const pids = files.map((name) => Number(readFileSync(join(state, name), 'utf8').split('-')[0]));
  expect(pids).toHaveLength(2);
  process.kill(pids[files.findIndex((name) => name.endsWith('worker.pid'))]!, 'SIGTERM');
  await eventually(() => expect(pids.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]), { timeoutMs: 20_000 });
}

async function answerServer(terminal: PseudoTerminal, { port }: Cluster, password: string) {
  await terminal.answer('Host name, address', '127.0.0.1');
  await terminal.answer('Port', String(port));
  await terminal.answer('Maintenance database');
  await terminal.answer('User, a superuser', 'postgres');
  await terminal.answer('Password', password);
}

describe('questions at a terminal', () => {
  test('each answer is tried; a wrong password is asked for again; what is written works', async () => {
    const terminal = atTerminal(['config']);
    await terminal.answer('File');
    await answerServer(terminal, source, 'wrong');
    await terminal.see(`the source at 127.0.0.1:${source.port} refuses the password of user "postgres"`);
    await terminal.see('→ Correct source.password');
    // What was right is there already: only the password is typed again.
    for (const question of ['Host name, address', 'Port', 'Maintenance database', 'User, a superuser'])
      await terminal.answer(question);
    await terminal.answer('Password', awkwardPassword);
    await terminal.see(`Connected: PostgreSQL ${source.version}, 2 databases, postgres is a superuser`);

    await answerServer(terminal, source, awkwardPassword);
    await terminal.see('source and target are the same cluster');
    await terminal.answer('Which of the two shall be corrected?');
    await terminal.answer('Host name, address');
    await terminal.answer('Port', 'x');
    await terminal.see('a number from 1 to 65535');
    terminal.type(`\b${target.port}\r`);
    await terminal.answer('Maintenance database');
    await terminal.answer('User, a superuser');
    await terminal.answer('Password', awkwardPassword);
    await terminal.see(`Connected: PostgreSQL ${target.version}`);

    await terminal.see('◆  The server of the target connects to the source');
    terminal.type('n');
    await terminal.answer('Host name or address of the source, seen from the target', 'localhost');
    await terminal.answer('Port');

    await terminal.answer('Which queue?', DOWN);
    await terminal.answer('Address', 'redis://127.0.0.1:1');
    await terminal.answer('Password');
    await terminal.see('The queue at redis://127.0.0.1:1 cannot be reached');
    await terminal.answer('Which queue?', DOWN);
    await terminal.answer('Address', redis.url);
    await terminal.answer('Password');
    await terminal.see(`Connected: ${redis.url}`);
    await terminal.see('◆  Encrypt the passwords');
    terminal.type('n');
    await terminal.see('next: pgconvoy check');
    expect(await terminal.ended()).toBe(0);
    expect(terminal.screen).not.toContain(awkwardPassword);

    expect(modeOf(file())).toBe('600');
    const { config, addresses } = loadConfig({ path: file(), env: { HOME: folder } });
    expect(addresses.source).toMatchObject({ host: '127.0.0.1', port: source.port, password: awkwardPassword });
    expect(addresses.target).toMatchObject({ host: '127.0.0.1', port: target.port, password: awkwardPassword });
    expect(config.source.fromTarget).toEqual({ host: 'localhost', port: source.port, sslmode: 'prefer' });
    expect(config.queue.url).toBe(redis.url);
    expect(text()).toContain('# The cluster to leave.');
  });

  test('encrypted, with the private queue of this machine: commands ask, and their worker inherits the password', async () => {
    const terminal = atTerminal(['config', ...flags()]);
    await terminal.answer('File');
    await terminal.answer('The server of the target connects to the source');
    await terminal.answer('Which queue?');
    await terminal.answer('Folder for its state and logs', join(folder, 'state'));
    await terminal.see('A private redis-server works here');
    await terminal.answer('Encrypt the passwords');
    await terminal.answer('Password of the configuration', SECRET);
    await terminal.answer('The same again', `${SECRET}!`);
    await terminal.see('this is another one');
    terminal.type('\b\r');
    await terminal.see('its credentials are encrypted');
    expect(await terminal.ended()).toBe(0);
    expect(text()).not.toContain("it's");
    expect(text().match(/password: encrypted:v1:/g)).toHaveLength(2);

    const check = atTerminal(['check']);
    await check.answer('Password of the configuration', SECRET);
    await check.see('private queue and worker of this machine');
    expect([await check.ended(), check.screen]).toEqual([0, expect.stringContaining('completed')]);

    // A question after the password is a question as ever.
    const stop = atTerminal(['stop']);
    await stop.answer('Password of the configuration', SECRET);
    await stop.see('[y/N]');
    stop.type('n\r');
    await stop.see('Nothing was started.');
    expect(await stop.ended()).toBe(5);

    const wrong = atTerminal(['check']);
    await wrong.answer('Password of the configuration', 'open barley');
    await wrong.see('what was typed is not the password with which source.password, target.password were encrypted');
    expect(await wrong.ended()).toBe(2);
    await endWorkerIn(join(folder, 'state'));
  });

  test('Ctrl-C writes nothing, and ends as everywhere', async () => {
    const terminal = atTerminal(['config']);
    await terminal.answer('File');
    await terminal.see('◆  Host name');
    terminal.type(CTRL_C);
    await terminal.see('Left; nothing was written.');
    expect(await terminal.ended()).toBe(130);
    expect(existsSync(file())).toBe(false);
  });

  test('a file that is there is replaced only after a yes', async () => {
    writeFileSync(file(), '# mine\n', { mode: 0o644 });
    const terminal = atTerminal(['config', ...flags(), '--queue', redis.url]);
    await terminal.answer('File');
    await terminal.answer(`${file()} is there already. Replace it?`);
    await terminal.answer('File', 'other.yaml');
    await terminal.answer('The server of the target connects to the source');
    await terminal.see('◆  Encrypt the passwords');
    terminal.type('n');
    await terminal.see('next: pgconvoy check --config');
    expect(await terminal.ended()).toBe(0);
    expect(text()).toBe('# mine\n');
    expect(modeOf(join(folder, 'other.yaml'))).toBe('600');
  });
});

describe('in scripts', () => {
  test('flags say it all; a worker and check find the password in a file or in the variable', async () => {
    const written = await write(
      '--queue',
      redis.url,
      '--encrypt',
      '--json',
      '--databases',
      'zoo',
      '--engine',
      'native',
    );
    expect([written.code, written.stderr]).toEqual([0, expect.stringContaining('taken from PGCONVOY_CONFIG_PASSWORD')]);
    const server = { host: '127.0.0.1', user: 'postgres', database: 'postgres', superuser: true };
    expect(JSON.parse(written.stdout)).toEqual({
      ok: true,
      file: file(),
      encrypted: true,
      source: { ...server, port: source.port, version: source.version, databases: 2 },
      target: { ...server, port: target.port, version: target.version, databases: 1 },
      queue: { address: redis.url, warnings: [] },
      warnings: [],
    });
    expect(modeOf(file())).toBe('600');
    expect(text()).toContain('include: [zoo]');
    expect(text()).toContain('\nengine: native\n');
    for (const spelled of [awkwardPassword, encodeURIComponent(awkwardPassword)]) expect(text()).not.toContain(spelled);

    const none = await pgconvoy(['check']);
    expect([none.code, none.stdout]).toEqual([2, '']);
    expect(none.stderr).toContain('encrypted, and no password was given');
    expect(none.stderr).toContain('PGCONVOY_CONFIG_PASSWORD_FILE');

    writeFileSync(join(folder, 'secret'), `${SECRET}\n`, { mode: 0o600 });
    const worker = new WorkerProcess(program, ['--config-password-file', 'secret'], folder, env, 1);
    try {
      await worker.listening();
      const check = await pgconvoy(['check', '--config', file()], { PGCONVOY_CONFIG_PASSWORD: SECRET });
      expect([check.code, check.stderr]).toEqual([0, expect.any(String)]);
      const again = await pgconvoy(['plan', '--json'], { PGCONVOY_CONFIG_PASSWORD_FILE: 'secret' });
      expect([again.code, again.stderr]).toEqual([0, expect.any(String)]);
      expect(worker.log()).not.toContain('sesame');
    } finally {
      await worker.stop();
    }

    const wrong = await pgconvoy(['check', '--json'], { PGCONVOY_CONFIG_PASSWORD: 'open barley' });
    expect(wrong.code).toBe(2);
    expect(JSON.parse(wrong.stdout)).toMatchObject({
      ok: false,
      error: { code: 2, message: expect.stringContaining('is not the password') },
    });
  });

  test('credentials are encrypted and decrypted in place, comments kept', async () => {
    expect((await write('--queue', redis.url)).code).toBe(0);
    const plain = text().replace('user: postgres', 'user: postgres # ours');
    writeFileSync(file(), plain, { mode: 0o640 });
    mkdirSync(join(folder, 'links'));
    symlinkSync(file(), join(folder, 'links', 'pgconvoy.yaml'));
    const secret = { PGCONVOY_CONFIG_PASSWORD: SECRET };

    const sealed = await pgconvoy(['config', '--encrypt', '--config', 'links/pgconvoy.yaml'], secret);
    expect([sealed.code, sealed.stdout]).toEqual([
      0,
      `Now encrypted in ${join(folder, 'links', 'pgconvoy.yaml')}: source.password, target.password`,
    ]);
    expect(modeOf(file())).toBe('600');
    expect(text()).toContain('user: postgres # ours');
    expect(loadConfig({ path: file(), env: secret }).addresses.target.password).toBe(awkwardPassword);

    const again = await pgconvoy(['config', '--encrypt', '--json'], secret);
    expect(JSON.parse(again.stdout)).toEqual({ ok: true, file: file(), encrypted: [] });
    const other = await pgconvoy(['config', '--decrypt'], { PGCONVOY_CONFIG_PASSWORD: 'open barley' });
    expect([other.code, other.stdout]).toEqual([2, '']);
    expect(other.stderr).toContain('the password does not open source.password');

    expect((await pgconvoy(['config', '--decrypt'], secret)).code).toBe(0);
    expect(text()).toBe(plain);
  });

  test.each<[string, () => readonly string[], number, string]>([
    ['nothing said', () => [], 2, 'asks questions, and nobody is here to answer'],
    ['no target', () => ['--non-interactive', '--source', 'host=a'], 2, 'needs to be told where the target is'],
    [
      'a connection string that is none',
      () => ['--non-interactive', '--source', 'a', '--target', 'b'],
      2,
      '--source: this',
    ],
    [
      'a password that is wrong',
      () => ['--non-interactive', '--source', clusterUrl({ ...source, password: 'x' }), '--target', clusterUrl(target)],
      4,
      'refuses the password',
    ],
    [
      'a queue that is not there',
      () => ['--non-interactive', ...flags(), '--queue', 'redis://127.0.0.1:1'],
      4,
      'cannot be reached',
    ],
    ['nothing to encrypt with', () => ['--non-interactive', ...flags(), '--encrypt'], 2, 'no password to encrypt'],
    ['nothing to decrypt', () => ['--decrypt'], 2, 'cannot be read: there is no such file'],
    ['two opposites', () => ['--encrypt', '--decrypt'], 2, 'are opposites'],
  ])('writes nothing with %s', async (_, words, code, said) => {
    const refused = await pgconvoy(['config', ...words()]);
    expect([refused.code, refused.stdout]).toEqual([code, '']);
    expect(refused.stderr).toContain(said);
    expect(existsSync(file())).toBe(false);
  });

  test('a file that is there is replaced only with --force', async () => {
    writeFileSync(file(), '# mine\n', { mode: 0o644 });
    const refused = await write();
    expect([refused.code, text()]).toEqual([2, '# mine\n']);
    expect(refused.stderr).toContain('Give --force');
    expect((await write('--force', '--queue', redis.url)).code).toBe(0);
    expect([modeOf(file()), text().includes('# mine')]).toEqual(['600', false]);
  });
});
