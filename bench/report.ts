/** What was measured, as tables for a person, with the goals beside the numbers. */
import Table from 'cli-table3';
import type { ConvoyResult } from './convoy.ts';
import { median, rounded, worst } from './numbers.ts';
import type { Outages } from './numbers.ts';
import type { PlainResult } from './plain.ts';

export interface ScenarioResult {
  readonly scenario: string;
  readonly title: string;
  readonly databases: number;
  /** The most that `seconds` may be, as a ratio to plain.sh with four databases at a time. */
  readonly goal: number;
  readonly plain4: PlainResult;
  readonly serial: PlainResult;
  readonly convoy: ConvoyResult;
  /** The same kind of databases, but ten of them. */
  readonly ten?: ConvoyResult;
}

export interface Goal {
  readonly what: string;
  readonly value: number;
  readonly most: number;
  readonly unit: string;
  readonly ok: boolean;
}

/** Until all streams, to the plain script with four databases at a time. */
export const ratioOf = ({ plain4, convoy }: ScenarioResult): number => convoy.seconds / plain4.seconds;

/** Of several rounds the one whose ratio is in the middle. */
export function middleOf(rounds: readonly ScenarioResult[]): ScenarioResult {
  const sorted = rounds.toSorted((one, other) => ratioOf(one) - ratioOf(other));
  return sorted[Math.floor(sorted.length / 2)]!;
}

/** The goals of issue 2 that a scenario can tell something about. */
export function judge(result: ScenarioResult): readonly Goal[] {
  const { goal, databases, convoy } = result;
  const goals: Omit<Goal, 'ok'>[] = [
    {
      what: 'until all streams, as a ratio to 4 at a time',
      value: ratioOf(result),
      most: goal,
      unit: '×',
    },
  ];
  if (databases === 20 && convoy.cutover) {
    goals.push({
      what: 'worst outage of a database',
      value: worst(convoy.cutover.milliseconds) / 1_000,
      most: 1,
      unit: 's',
    });
  }
  if (databases === 100) {
    goals.push({ what: 'peak memory of the worker', value: convoy.worker.peakMegabytes, most: 250, unit: 'MB' });
    goals.push({ what: 'pgconvoy status RUN --json', value: convoy.statusSeconds, most: 1, unit: 's' });
  }
  return goals.map((each) => ({ ...each, value: rounded(each.value), ok: each.value <= each.most }));
}

export function renderResult(result: ScenarioResult): string {
  return [`${result.scenario}: ${result.title}`, speeds(result), ...goalLines(result), ...factLines(result)].join('\n');
}

function speeds({ plain4, serial, convoy }: ScenarioResult): string {
  const table = new Table({
    head: [
      '',
      'until all streams',
      'ratio to 4 at a time',
      'ratio to serial',
      'cutover of all',
      'outage: worst',
      'median',
    ],
    style: { head: [], border: [] },
  });
  const row = (name: string, seconds: number, cutover: Outages | undefined): void => {
    table.push([
      name,
      `${seconds.toFixed(1)} s`,
      (seconds / plain4.seconds).toFixed(2),
      (seconds / serial.seconds).toFixed(2),
      ...(cutover
        ? [
            `${cutover.totalSeconds.toFixed(1)} s`,
            `${worst(cutover.milliseconds).toFixed(0)} ms`,
            `${median(cutover.milliseconds).toFixed(0)} ms`,
          ]
        : ['', '', '']),
    ]);
  };
  row('plain script, 4 at a time', plain4.seconds, plain4.cutover);
  row('plain script, serial', serial.seconds, serial.cutover);
  row('pgconvoy', convoy.seconds, convoy.cutover);
  return table.toString();
}

const goalLines = (result: ScenarioResult): string[] =>
  judge(result).map(
    ({ what, value, most, unit, ok }) =>
      `  ${ok ? 'ok    ' : 'missed'} ${what}: ${value} ${unit} (goal: at most ${most})`,
  );

function factLines({ databases, convoy, ten }: ScenarioResult): string[] {
  const longest = Object.entries(convoy.steps).slice(0, 8);
  return [
    `  it waits for approval after ${convoy.untilReady.toFixed(1)} s; ${usage(databases, convoy)}`,
    ...(ten ? [`  ${usage(10, ten)}`] : []),
    `  time of all steps together: ${longest.map(([step, seconds]) => `${step} ${seconds.toFixed(1)} s`).join(', ')}`,
  ];
}

const usage = (databases: number, { jobs, jobsPerSecond, worker, statusSeconds }: ConvoyResult): string =>
  `${databases} database${databases === 1 ? '' : 's'}: ${jobs} jobs, ${jobsPerSecond.toFixed(1)} a second; worker ${worker.cpuSeconds.toFixed(1)} CPU s ` +
  `(pg_dump and pg_restore ${worker.programsCpuSeconds.toFixed(1)}), peak ${worker.peakMegabytes.toFixed(0)} MB; status in ${statusSeconds.toFixed(2)} s`;
