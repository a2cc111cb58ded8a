import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isRunning, type ProcessIdentity } from '../helpers/run-folder.ts';
import { eventually } from '../helpers/wait.ts';

const helpers = join(import.meta.dirname, '..', 'helpers');
let base = '';

beforeAll(async () => {
  base = await mkdtemp('/tmp/pgconvoy-runs-');
});
afterAll(() => rm(base, { recursive: true, force: true }));

interface Left {
  readonly server: ProcessIdentity;
  readonly folder: string;
}

/** A run of its own, in a process of its own, that starts a Redis and then does what `ending` says. */
async function runThat(ending: string): Promise<Left> {
  const program = `
    import { identityOf } from ${JSON.stringify(join(helpers, 'run-folder.ts'))};
    import { startRedis } from ${JSON.stringify(join(helpers, 'servers.ts'))};
    const server = await startRedis();
    console.log(JSON.stringify({ server: identityOf(server.pid), folder: server.folder }));
    ${ending}`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program], {
    env: { ...process.env, PGCONVOY_TEST_FOLDER: base, PGCONVOY_TEST_RUN: '' },
    stdio: 'pipe',
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (data) => (output += data));
  child.stderr.on('data', (data) => (errors += data));
  await once(child, 'close');
  if (!output) throw new Error(`No server was started: ${errors}`);
  return JSON.parse(output) as Left;
}

function expectGone(left: Left): void {
  expect(isRunning(left.server)).toBe(false);
  expect(existsSync(left.folder)).toBe(false);
}

test.each([
  ['ends by an error', "throw new Error('on purpose, for the test')"],
  ['exits without stopping anything', 'process.exit(3)'],
  ['is asked to end', "process.kill(process.pid, 'SIGTERM'); await new Promise((done) => setTimeout(done, 60_000))"],
])('a run that %s leaves nothing', async (_, ending) => {
  const left = await runThat(ending);
  await eventually(() => expectGone(left));
});

test('what a killed run has left is cleared away by the next one', async () => {
  const killed = await runThat("process.kill(process.pid, 'SIGKILL')");
  expect(existsSync(killed.folder)).toBe(true);
  expect(isRunning(killed.server)).toBe(true);
  const next = await runThat('process.exit(0)');
  await eventually(() => {
    expectGone(killed);
    expectGone(next);
  });
});
