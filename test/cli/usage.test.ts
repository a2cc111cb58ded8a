import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { beforeAll, describe, expect, test } from 'vitest';
import { builtProgram } from '../helpers/program.ts';
import { startReceiver } from '../helpers/receiver.ts';
import { runFolder } from '../helpers/run-folder.ts';

let program: string;
let folder: string;
beforeAll(async () => {
  program = await builtProgram();
  folder = mkdtempSync(join(runFolder(), 'usage-'));
});

/** In an empty folder, with nothing in the environment that could be taken for a configuration. */
async function pgconvoy(...words: readonly string[]) {
  const { exitCode, stdout, stderr } = await execa(process.execPath, [program, ...words], {
    cwd: folder,
    env: { PATH: process.env['PATH'], HOME: folder },
    extendEnv: false,
    stdin: 'ignore',
    reject: false,
  });
  return { code: exitCode, stdout, stderr };
}

test('help of a command from the built program', async () => {
  const { code, stdout, stderr } = await pgconvoy('help', 'stop');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^Usage: pgconvoy stop /);
});

test('--version is the one of package.json, from the built program too', async () => {
  const { default: manifest } = (await import('../../package.json', { with: { type: 'json' } })) as {
    default: { version: string };
  };
  expect(await pgconvoy('--version')).toEqual({ code: 0, stdout: manifest.version, stderr: '' });
});

test('notify tries each webhook, and says which are not there without saying where', async () => {
  await using receiver = await startReceiver();
  const away = await startReceiver();
  await away[Symbol.asyncDispose]();
  const webhooks = [
    { name: 'on call', url: `${receiver.url}/s3cret` },
    { name: 'chat', url: `${away.url}/s3cret`, format: 'slack' },
  ];
  const config = join(folder, 'hooks.yaml');
  writeFileSync(config, JSON.stringify({ source: { host: 'a' }, target: { host: 'b' }, notifications: { webhooks } }));
  const { code, stdout, stderr } = await pgconvoy('notify', '--config', config);
  expect(code).toBe(1);
  expect(stdout).toMatch(/✓ on call\n✗ the webhook "chat" cannot be told: nobody listens there/);
  expect(stdout + stderr).not.toMatch(/s3cret|127/);
  expect(receiver.taken).toMatchObject([{ path: '/s3cret', body: { event: 'trial' } }]);
  expect(await pgconvoy('notify', 'on call', '--json', '--config', config)).toMatchObject({ code: 0 });
  expect(await pgconvoy('notify', '--source', 'postgres://a', '--target', 'postgres://b')).toMatchObject({ code: 2 });
});

describe('wrong usage ends with 2, before anything is touched', () => {
  test.each<[string, readonly string[], string]>([
    ['an unknown command, with a suggestion', ['chek'], '(Did you mean check?)'],
    ['an unknown option, with a suggestion', ['check', '--jsno'], '(Did you mean --json?)'],
    ['no command: help', [], 'Usage: pgconvoy'],
    ['too many words', ['runs', 'now'], 'too many arguments'],
    ['a log level that is none', ['runs', '--log-level', 'loud'], 'Allowed choices are'],
    ['an unknown workflow', ['plan', 'upgrad'], 'there is no workflow "upgrad"'],
    ['back together and each on its own', ['rollback', '--yes', '--together', '--each'], 'the opposite of each other'],
    ['stop without anybody to ask', ['stop'], '→ Give --yes when you are sure.'],
    [
      'dropping databases without anybody to ask',
      ['uninstall', '--drop-target-databases'],
      '→ Give --yes when you are sure.',
    ],
    ['no configuration at all', ['check'], 'nothing says where the source is'],
    ['a configuration that is not there', ['check', '--config', 'nowhere.yaml'], 'nowhere.yaml'],
    ['a worker without a queue', ['worker', '--source', 'host=a', '--target', 'host=b'], 'needs a queue'],
  ])('%s', async (_, words, said) => {
    const { code, stdout, stderr } = await pgconvoy(...words);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(said);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test.each([['chek'], ['check']])('as one JSON document: %s', async (...words) => {
    const { code, stdout } = await pgconvoy(...words, '--json');
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toEqual({
      ok: false,
      error: { message: expect.any(String), hint: expect.any(String), code: 2 },
    });
  });
});

test('a reader that goes away ends it quietly', async () => {
  const { stdout, stderr } = await execa(
    'sh',
    ['-c', 'for i in 1 2 3; do "$0" "$1" upgrade --help; done | head -1', process.execPath, program],
    {
      cwd: folder,
    },
  );
  expect({ stdout, stderr }).toEqual({ stdout: 'Usage: pgconvoy upgrade [options]', stderr: '' });
});
