import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { giveBack } from '../../../src/operations/cutover/give-back.ts';
import { runHooksTogether } from '../../../src/operations/traffic/run-hooks-together.ts';
import { runHooks } from '../../../src/operations/traffic/run-hooks.ts';
import { Hook } from '../../../src/postgres/hooks.ts';
import type { HookSettings } from '../../../src/postgres/hooks.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { TestPair } from '../../helpers/pair.ts';
import { runFolder } from '../../helpers/run-folder.ts';
import { eventually } from '../../helpers/wait.ts';

describe('hooks', () => {
  let pair: TestPair;
  let database: string;
  let folder: string;
  const hooks: Hook[] = [];
  beforeAll(async () => {
    folder = mkdtempSync(join(runFolder(), 'hooks-'));
    pair = await TestPair.open({ traffic: { hooks, pgbouncers: [] } });
    database = await pair.database('My "odd" DB');
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  /** The only hook there is, as a script of the shell. */
  function only(script: string, more: Partial<HookSettings> = {}): void {
    const command = ['sh', '-c', script];
    const usual = { at: 'fenced', environment: {}, timeoutMs: 10_000, retries: 0, folder, secrets: [] } as const;
    hooks.splice(0, hooks.length, new Hook({ ...usual, command, ...more }));
  }
  const at = (event: string, onNote: (line: string) => void = () => {}) => ({ input: { at: event }, onNote });
  const file = (name: string) => readFileSync(join(folder, name), 'utf8');

  test('one runs for each database, is told what it is about, and its output is in the log of the run', async () => {
    process.env['OLD_DB_PASSWORD'] = 'inherited';
    only(`env > own.env; echo "to the new one"; echo "and a warning" >&2`, {
      environment: { MORE: `it's more` },
    });
    const lines: string[] = [];
    const { output } = await proveContract(
      pair,
      runHooks,
      database,
      at('fenced', (line) => lines.push(line)),
    );
    expect(output).toMatchObject({ at: 'fenced', ran: [{ program: 'sh', attempts: 1 }] });
    expect(lines.toSorted()).toEqual(['sh: and a warning', 'sh: to the new one']);
    const told = file('own.env').split('\n');
    expect(told).toEqual(
      expect.arrayContaining([
        'PGCONVOY_EVENT=fenced',
        'PGCONVOY_DIRECTION=forward',
        `PGCONVOY_RUN=test-${pair.suffix}`,
        `PGCONVOY_DATABASES=${JSON.stringify([database])}`,
        `PGCONVOY_SOURCE_HOST=${pair.source.host}`,
        `PGCONVOY_SOURCE_PORT=${pair.source.port}`,
        `PGCONVOY_TARGET_HOST=${pair.target.host}`,
        `PGCONVOY_TARGET_PORT=${pair.target.port}`,
        `MORE=it's more`,
      ]),
    );
    expect(file('own.env')).not.toMatch(/inherited|PGPASSWORD/);
    expect(file('own.env')).not.toContain(pair.source.password);
  });

  test('one runs once for all databases where they are switched over together', async () => {
    only('echo "$PGCONVOY_DATABASES" >> together.txt', { at: 'opened' });
    await proveContract(pair, runHooksTogether, undefined, at('opened'));
    expect(file('together.txt')).toBe(`${JSON.stringify([database])}\n`);
  });

  test('killed in the middle it runs again: at least once', async () => {
    only('echo x >> killed.txt; sleep 0.2; echo y >> killed.txt', { at: 'before-open' });
    await proveKilledAndRunAgain(pair, runHooks, database, [100, 150], at('before-open'));
    expect(file('killed.txt').replaceAll('\n', '')).toMatch(/^x{1,3}y$/);
  });

  test('where a database is given back, its moments come again', async () => {
    only('true', { at: 'fenced' });
    const again = { ...at('fenced'), options: { 'hooks:fenced': true } };
    await runOperation(runHooks, pair.context(database, again));
    await giveBack(pair.context(database, again));
    expect((await runHooks.check(pair.context(database, again))).holds).toBe(false);
  });

  test('a failure before the target is open fails the step, with what it said last and no secret', async () => {
    only('echo "with $TOKEN and $SHORT" >&2; exit 3', {
      at: 'before-fence',
      retries: 2,
      environment: { TOKEN: 't0ken/secret', SHORT: 'abc' },
      secrets: ['pass word'],
    });
    const lines: string[] = [];
    const context = pair.context(
      database,
      at('before-fence', (line) => lines.push(line)),
    );
    const error = await runOperation(runHooks, context).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      message: 'here, the hook at before-fence: sh ended with exit code 3: with *** and abc (3 attempts)',
      hint: expect.stringContaining('pgconvoy logs'),
      disposition: 'give-up',
    });
    expect(lines.filter((line) => line === 'sh: with *** and abc')).toHaveLength(3);
    expect(lines.join('\n')).not.toContain('t0ken');
    expect((await runHooks.check(context)).holds).toBe(false);
  });

  test.each(['opened', 'rolled-back'] as const)('a failure at %s is told, and the run goes on', async (event) => {
    only('exit 4', { at: event });
    const { output } = await runOperation(runHooks, pair.context(database, at(event)));
    expect(output).toMatchObject({ ran: [{ failure: 'sh ended with exit code 4' }] });
  });

  test('one that does not end in time is killed, with all it has started', async () => {
    only('sleep 600 & echo $! > pid; wait', { timeoutMs: 300, at: 'before-fence' });
    await expect(runOperation(runHooks, pair.context(database, at('before-fence')))).rejects.toThrow(
      'sh did not end within 300 ms and was killed',
    );
    await eventually(() => expect(existsSync(`/proc/${file('pid').trim()}`)).toBe(false));
  });

  test('one that leaves something behind holds nobody up', async () => {
    only('sleep 600 & echo $! > left', { at: 'before-fence', timeoutMs: 5_000 });
    const { output } = await runOperation(runHooks, pair.context(database, at('before-fence')));
    expect(output).toEqual({ at: 'before-fence', ran: [expect.not.objectContaining({ failure: expect.anything() })] });
    process.kill(Number(file('left')));
  });

  test('a program that is not there', async () => {
    hooks.splice(0);
    only('', { command: ['./switch it.sh', 'secret argument'], at: 'rolled-back' });
    const { output } = await runOperation(runHooksTogether, pair.context(undefined, at('rolled-back')));
    expect(output).toMatchObject({ ran: [{ failure: 'switch it.sh could not be started: ENOENT' }] });
    expect(JSON.stringify(output)).not.toContain('secret argument');
  });
});
