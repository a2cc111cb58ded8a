/** Many databases that are switched over together: nobody can write to any of them from the first fence until the last one is open. */
import type { RunView, StepView } from '../src/queue/types.ts';
import { Program } from '../test/helpers/program.ts';
import { startRedis } from '../test/helpers/servers.ts';
import { median, worst } from './numbers.ts';
import { small } from './scenarios.ts';
import { openPair } from './servers.ts';
import type { Majors } from './servers.ts';

export interface GroupResult {
  readonly scenario: string;
  readonly title: string;
  /** Of each database, milliseconds, by the source's clock. */
  readonly outages: readonly number[];
  /** Seconds of all steps of an operation from the first fence on, together, in their order. */
  readonly steps: Readonly<Record<string, number>>;
}

/** With the way back, as it is by default. */
export async function runGroup(majors: Majors, databases = 100): Promise<GroupResult> {
  const { fill, title } = small(databases);
  await using pair = await openPair(fill, majors);
  await using redis = await startRedis({ name: 'bench-redis' });
  const { source, target } = pair;
  await using program = await Program.open({
    source,
    target,
    redis,
    config: { cutover: { reverse: true, together: true } },
  });
  await program.startWorker();
  for (const words of [['fix', '--yes'], ['setup'], ['start']]) await complete(program, ...words);
  const steps = (await complete(program, 'stop', '--yes')).stages.flatMap((stage) => stage.steps);
  return {
    scenario: 'group',
    title: `${title}, switched over together`,
    outages: steps.filter(({ operation }) => operation === 'open-target').map(outageOf),
    steps: secondsBehindFence(steps),
  };
}

async function complete(program: Program, ...words: readonly string[]): Promise<RunView> {
  const { document, code, stdout, stderr } = await program.json<{ readonly run?: RunView }>(...words);
  if (document.run?.state === 'completed') return document.run;
  throw new Error(`pgconvoy ${words.join(' ')} ended with ${code}:\n${stdout.slice(0, 4_000)}\n${stderr}`);
}

const outageOf = ({ output }: StepView): number => (output as { readonly outageMs: number }).outageMs;

function secondsBehindFence(steps: readonly StepView[]): Record<string, number> {
  const begin = Math.min(...steps.filter(({ key }) => key === 'fence-together').map(({ startedAt = 0 }) => startedAt));
  const sums: Record<string, number> = {};
  for (const { key, startedAt = 0, finishedAt = 0 } of steps)
    if (startedAt >= begin) sums[key] = (sums[key] ?? 0) + (finishedAt - startedAt) / 1_000;
  return sums;
}

/** The goal of issue 4. */
const MOST_SECONDS = 2;

export function renderGroup({ scenario, title, outages, steps }: GroupResult): string {
  const most = worst(outages) / 1_000;
  return [
    `${scenario}: ${title}`,
    `  ${most <= MOST_SECONDS ? 'ok    ' : 'missed'} worst outage of a database: ${most.toFixed(2)} s (goal: at most ${MOST_SECONDS} s); ` +
      `median ${(median(outages) / 1_000).toFixed(2)} s, ${outages.length} databases`,
    `  time of all steps together, from the first fence on: ${Object.entries(steps)
      .map(([step, seconds]) => `${step} ${seconds.toFixed(1)} s`)
      .join(', ')}`,
  ].join('\n');
}
