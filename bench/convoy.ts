/** pgconvoy itself: the built program, one worker process, a Redis of its own; numbers as its runs record them. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { RunView, StepView } from '../src/queue/types.ts';
import { Program } from '../test/helpers/program.ts';
import type { WorkerProcess } from '../test/helpers/program.ts';
import { startRedis } from '../test/helpers/servers.ts';
import { median } from './numbers.ts';
import type { Outages } from './numbers.ts';
import type { Pair } from './servers.ts';
import type { Scenario } from './scenarios.ts';

export interface ConvoyResult {
  /** From the start of `pgconvoy upgrade` until every table streams and all its indexes are there. */
  readonly seconds: number;
  /** The same, until it waits for approval: statistics are gathered too, and all has caught up. */
  readonly untilReady: number;
  readonly cutover?: Outages;
  /** Steps until then. */
  readonly jobs: number;
  readonly jobsPerSecond: number;
  readonly worker: {
    /** Of the process itself. */
    readonly cpuSeconds: number;
    /** Of pg_dump and pg_restore, which it starts. */
    readonly programsCpuSeconds: number;
    readonly peakMegabytes: number;
  };
  /** `pgconvoy status RUN --json`, as the person waits for it. */
  readonly statusSeconds: number;
  /** Seconds of all steps of an operation together, the longest first: where the time goes. */
  readonly steps: Readonly<Record<string, number>>;
}

export async function runConvoy(pair: Pair, scenario: Scenario): Promise<ConvoyResult> {
  await using redis = await startRedis({ name: 'bench-redis' });
  await using program = await Program.open({ source: pair.source, target: pair.target, redis });
  const worker = await program.startWorker();
  const began = Date.now();
  const upgrade = await ended(program, 'waiting-approval', 'upgrade');
  const untilReady = (Date.now() - began) / 1_000;
  const steps = stepsOf(upgrade);
  const streams = Math.max(
    ...steps
      .filter(({ operation }) => ['copy-tables', 'build-indexes'].includes(operation))
      .map(({ finishedAt }) => finishedAt ?? 0),
  );
  const statusSeconds = await measureStatus(program, upgrade.id);
  const common = {
    seconds: (streams - began) / 1_000,
    untilReady,
    jobs: steps.length,
    jobsPerSecond: steps.length / untilReady,
    statusSeconds,
  };
  if (!scenario.cutover) return { ...common, worker: usageOf(worker), steps: secondsByOperation(steps) };
  const approved = Date.now();
  await program.run('approve', upgrade.id);
  const all = stepsOf(await ended(program, 'completed', 'status', upgrade.id, '--watch'));
  const outages = all
    .filter((step) => step.operation === 'open-target')
    .map((step) => (step.output as { outageMs: number }).outageMs);
  const cutover = { totalSeconds: (Date.now() - approved) / 1_000, milliseconds: outages };
  return { ...common, cutover, worker: usageOf(worker), steps: secondsByOperation(all) };
}

async function ended(program: Program, state: RunView['state'], ...words: readonly string[]): Promise<RunView> {
  const { document, code, stdout, stderr } = await program.json<{ readonly run?: RunView }>(...words);
  const { run } = document;
  if (run?.state !== state) {
    throw new Error(`pgconvoy ${words.join(' ')} ended with ${code}:\n${stdout.slice(0, 4_000)}\n${stderr}`);
  }
  return run;
}

/** Those that have run. */
const stepsOf = (run: RunView): readonly StepView[] =>
  run.stages.flatMap((stage) => stage.steps).filter(({ finishedAt }) => finishedAt !== undefined);

async function measureStatus(program: Program, run: string): Promise<number> {
  const seconds: number[] = [];
  for (let time = 1; time <= 3; time++) seconds.push((await program.json('status', run)).milliseconds / 1_000);
  return median(seconds);
}

function secondsByOperation(steps: readonly StepView[]): Record<string, number> {
  const sums = new Map<string, number>();
  for (const { key, startedAt = 0, finishedAt = 0 } of steps)
    sums.set(key, (sums.get(key) ?? 0) + (finishedAt - startedAt) / 1_000);
  return Object.fromEntries([...sums].sort(([, one], [, other]) => other - one));
}

/** @see https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
function usageOf({ pid }: WorkerProcess): ConvoyResult['worker'] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field is the program's name in parentheses, which may hold anything.
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = fields.slice(11, 15);
  const ticks = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  const peak = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0';
  return {
    cpuSeconds: (user + system) / ticks,
    programsCpuSeconds: (childUser + childSystem) / ticks,
    peakMegabytes: Number(peak) / 1_024,
  };
}
