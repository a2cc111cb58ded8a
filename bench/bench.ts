/**
 * npm run bench [-- --only many,large --json FILE]
 * pgconvoy against plain.sh on new clusters 15 → 18, in one run and as ratios: seconds of one machine say nothing on another.
 * Prints numbers with their goals; always ends with 0 when it could measure.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { setUpKit } from '../scripts/kit/setup.ts';
import { openRunFolder } from '../test/helpers/run-folder.ts';
import { runConvoy } from './convoy.ts';
import { runPlain } from './plain.ts';
import { judge, renderResult } from './report.ts';
import type { ScenarioResult } from './report.ts';
import { scenarios, small } from './scenarios.ts';
import type { Scenario } from './scenarios.ts';
import { openPair } from './servers.ts';

const { values } = parseArgs({ options: { only: { type: 'string' }, json: { type: 'string' } } });
const wanted = wantedScenarios(values.only);
await setUpKit('bench');
openRunFolder();
const results: ScenarioResult[] = [];
for (const scenario of wanted) {
  const result = await measure(scenario);
  console.log(`${renderResult(result)}\n`);
  results.push(result);
}
if (values.json !== undefined) {
  const judged = results.map((result) => ({ ...result, goals: judge(result) }));
  writeFileSync(values.json, `${JSON.stringify(judged, null, 2)}\n`);
}

function wantedScenarios(only: string | undefined): readonly Scenario[] {
  if (only === undefined) return scenarios;
  return only.split(',').map((name) => {
    const found = scenarios.find((scenario) => scenario.name === name);
    if (!found)
      throw new Error(`There is no scenario ${name}: ${scenarios.map((scenario) => scenario.name).join(', ')}.`);
    return found;
  });
}

/** Every contender gets clusters of its own, one after the other. */
async function measure(scenario: Scenario): Promise<ScenarioResult> {
  const on = async <T>(
    what: string,
    body: (pair: Awaited<ReturnType<typeof openPair>>) => Promise<T>,
    of = scenario,
  ): Promise<T> => {
    console.error(`bench: ${of.title}: ${what}`);
    await using pair = await openPair(of.fill);
    // Awaited here, or the clusters would be gone at once.
    return await body(pair);
  };
  const plain4 = await on('plain script, 4 at a time', (pair) => runPlain(pair, scenario, 4));
  // With one database there is nothing to do at a time.
  const serial =
    scenario.databases.length === 1
      ? plain4
      : await on('plain script, one after the other', (pair) => runPlain(pair, scenario, 1));
  const convoy = await on('pgconvoy', (pair) => runConvoy(pair, scenario));
  const fewer = scenario.databases.length === 100 ? small(10) : undefined;
  const ten = fewer && (await on('pgconvoy, to see what grows', (pair) => runConvoy(pair, fewer), fewer));
  return {
    scenario: scenario.name,
    title: scenario.title,
    goal: scenario.goal,
    databases: scenario.databases.length,
    plain4,
    serial,
    convoy,
    ...(ten ? { ten } : {}),
  };
}
