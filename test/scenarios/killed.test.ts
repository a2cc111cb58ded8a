import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { configuredOptions } from '../../src/cli/run-options.ts';
import { Config } from '../../src/config/schema.ts';
import { planOf } from '../../src/engine/plan.ts';
import { bundled } from '../helpers/bundled.ts';
import { recordServer } from '../helpers/run-folder.ts';
import { assertRun, Scenario } from '../helpers/scenario.ts';
import { workflows } from '../../workflows/index.ts';

/** Keeps one worker alive that dies at steps of such names: whenever it does, a new one is started, until `end`. */
function keepWorker(script: string, scenario: Scenario, where: RegExp) {
  const deaths = join(scenario.program.folder, 'deaths');
  const logFile = join(scenario.program.folder, 'fragile.log');
  writeFileSync(deaths, '');
  let ending = false;
  const codes: (number | string | null)[] = [];
  const start = () => {
    const log = openSync(logFile, 'a');
    const child = spawn(
      process.execPath,
      [script, join(scenario.program.folder, 'pgconvoy.yaml'), deaths, where.source],
      {
        stdio: ['ignore', log, log],
      },
    );
    closeSync(log);
    recordServer(child.pid!, 'SIGKILL');
    const gone = new Promise<void>((resolve) => {
      child.once('exit', (code, signal) => {
        codes.push(signal ?? code);
        resolve();
        if (!ending && signal === 'SIGKILL') current = start();
      });
    });
    return { child, gone };
  };
  let current = start();
  return {
    log: () => readFileSync(logFile, 'utf8').split('\n').slice(-40).join('\n'),
    deaths: () => readFileSync(deaths, 'utf8').trim().split('\n'),
    /** How the workers before the last one ended. */
    codes,
    async end() {
      ending = true;
      current.child.kill('SIGKILL');
      await current.gone;
    },
  };
}

/** What runs of a configuration with nothing else in it go through. */
const stepsOf = (reverse: boolean, ...names: readonly (keyof typeof workflows)[]): string[] =>
  names.flatMap((name) => {
    const workflow = workflows[name]!;
    const options = configuredOptions(workflow, Config.parse({ cutover: { reverse } }));
    return planOf(workflow, [{ oid: 1, name: 'a' }], options).stages.flatMap((stage) =>
      stage.kind === 'gate' ? [] : stage.steps.map(({ key }) => key),
    );
  });

test.for([
  ['native', 15, true, /(?:)/],
  // What both engines do alike is not killed twice.
  ['pglogical', 13, false, /engine|publication|slot|subscription|snapshot|copy-tables|await/],
] as const)(
  'kill -9 of the only worker at every operation, on %s, a source of %i: the run ends right, no row doubled or lost',
  { timeout: 400_000 },
  async ([engine, source, reverse, where]) => {
    await using scenario = await Scenario.open({
      engine,
      source,
      databases: ['testdb', 'shop', 'My "odd" DB'],
      config: { cutover: { reverse } },
    });
    const worker = keepWorker(await bundled('test/helpers/fragile-worker.ts'), scenario, where);
    try {
      await using writers = scenario.startWriters();
      await writers.everywhere();
      const rehearsal = engine === 'native' ? (['rehearse'] as const) : [];
      const commands = ['fix', 'setup', 'start', ...rehearsal, 'stop'] as const;
      const asking = new Set<string>(['fix', 'rehearse', 'stop']);
      for (const name of commands) {
        const command = asking.has(name) ? [name, '--yes'] : [name];
        assertRun(await scenario.command(...command), 0, 'completed', worker.log());
      }
      await writers.onTarget(3);
      await scenario.prove(await writers.stop(), reverse ? 'some' : 'nothing');

      const steps = [...new Set(stepsOf(reverse, ...commands))].filter((step) => where.test(step));
      expect(steps.length).toBeGreaterThan(5);
      const expected = steps.flatMap((step) => [`${step} middle`, `${step} end`]);
      expect(worker.deaths().toSorted()).toEqual(expected.toSorted());
      expect(new Set(worker.codes)).toEqual(new Set(['SIGKILL']));
    } finally {
      await worker.end();
    }
  },
);
