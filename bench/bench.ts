/**
 * npm run bench [-- --only many,large --rounds 3 --source 15 --target 18 --json FILE]
 * pgconvoy against plain.sh on new clusters, in one run and as ratios: seconds of one machine say nothing on another.
 * Prints numbers with their goals; always ends with 0 when it could measure.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { setUpKit } from '../scripts/kit/setup.ts';
import { openRunFolder } from '../test/helpers/run-folder.ts';
import type { Major } from '../test/helpers/servers.ts';
import { runConvoy } from './convoy.ts';
import { renderGroup, runGroup } from './group.ts';
import type { GroupResult } from './group.ts';
import { useMemory } from './memory.ts';
import { runPlain } from './plain.ts';
import { judge, middleOf, ratioOf, renderResult } from './report.ts';
import type { ScenarioResult } from './report.ts';
import { scenarios, small } from './scenarios.ts';
import type { Scenario } from './scenarios.ts';
import { openPair } from './servers.ts';
import type { Majors, Pair } from './servers.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    json: { type: 'string' },
    /** Of each scenario; the one in the middle is told, with the ratios of all. */
    rounds: { type: 'string', default: '1' },
    source: { type: 'string', default: '15' },
    target: { type: 'string', default: '18' },
  },
});
const only = values.only?.split(',');
const wanted = wantedScenarios(only?.filter((name) => name !== 'group'));
const majors: Majors = { source: Number(values.source) as Major, target: Number(values.target) as Major };
await setUpKit('bench');
useMemory();
openRunFolder();
const results: ScenarioResult[] = [];
for (const scenario of wanted) {
  const rounds: ScenarioResult[] = [];
  for (let round = 0; round < Number(values.rounds); round++) rounds.push(await measure(scenario, round));
  const result = middleOf(rounds);
  console.log(renderResult(result));
  if (rounds.length > 1)
    console.log(`  ratios of all rounds: ${rounds.map((each) => ratioOf(each).toFixed(2)).join(', ')}`);
  console.log();
  results.push(result);
}
const groups: GroupResult[] = [];
if (!only || only.includes('group')) {
  for (let round = 0; round < Number(values.rounds); round++) {
    const group = await runGroup(majors);
    console.log(`${renderGroup(group)}\n`);
    groups.push(group);
  }
}
if (values.json !== undefined) {
  const judged = [...results.map((result) => ({ ...result, goals: judge(result) })), ...groups];
  writeFileSync(values.json, `${JSON.stringify(judged, null, 2)}\n`);
}

function wantedScenarios(names: readonly string[] | undefined): readonly Scenario[] {
  if (names === undefined) return scenarios;
  return names.map((name) => {
    const found = scenarios.find((scenario) => scenario.name === name);
    if (!found)
      throw new Error(`There is no scenario ${name}: ${scenarios.map((scenario) => scenario.name).join(', ')}, group.`);
    return found;
  });
}

/** Every contender gets clusters of its own, one after the other; who comes first changes with the rounds. */
async function measure(scenario: Scenario, round: number): Promise<ScenarioResult> {
  const on = async <T>(what: string, body: (pair: Pair) => Promise<T>, of = scenario): Promise<T> => {
    console.error(`bench: ${of.title}: ${what}`);
    await using pair = await openPair(of.fill, majors);
    // Awaited here, or the clusters would be gone at once.
    return await body(pair);
  };
  const convoyIsFirst = round % 2 === 1;
  const early = convoyIsFirst ? await on('pgconvoy', (pair) => runConvoy(pair, scenario)) : undefined;
  const plain4 = await on('plain script, 4 at a time', (pair) => runPlain(pair, scenario, 4));
  const convoy = early ?? (await on('pgconvoy', (pair) => runConvoy(pair, scenario)));
  // With one database there is nothing to do at a time.
  const serial =
    scenario.databases.length === 1
      ? plain4
      : await on('plain script, one after the other', (pair) => runPlain(pair, scenario, 1));
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
