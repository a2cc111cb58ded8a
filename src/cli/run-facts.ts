import * as z from 'zod';
import type { Finding } from '../engine/finding.ts';
import { PartsOutput } from '../engine/in-one-job.ts';
import { Point } from '../engine/point.ts';
import { ExitCode } from '../errors.ts';
import { hasOpened } from '../queue/opening.ts';
import { problemsOf } from '../queue/problems.ts';
import type { RunView, StageView, StepView } from '../queue/types.ts';

/** What the command line concludes from a run as it was read. Pure. */

/** A stage's steps of one database, or of the cluster (`database` undefined), in the order they run. */
export interface Lane {
  readonly database: string | undefined;
  readonly steps: readonly StepView[];
  readonly done: number;
  /** The step that is its turn: the first that is not completed; undefined when the lane is at its end. */
  readonly current: StepView | undefined;
  readonly state: 'done' | 'active' | 'waiting' | 'delayed' | 'failed' | 'cancelled';
}

export function lanesOf(stage: StageView): Lane[] {
  const lanes = new Map<string | undefined, StepView[]>();
  for (const step of stage.steps) {
    const steps = lanes.get(step.database);
    if (steps) steps.push(step);
    else lanes.set(step.database, [step]);
  }
  return [...lanes].map(([database, steps]) => {
    const at = steps.findIndex((step) => step.state !== 'completed');
    const current = at === -1 ? undefined : steps[at]!;
    return { database, steps, done: at === -1 ? steps.length : at, current, state: laneState(current) };
  });
}

function laneState(current: StepView | undefined): Lane['state'] {
  switch (current?.state) {
    case undefined:
    case 'completed':
      return 'done';
    case 'pending':
      return 'waiting';
    default:
      return current!.state;
  }
}

/** The stage a run is in; the last one when all are completed. */
export function currentStage(view: RunView): StageView | undefined {
  return view.stages[view.stage ?? view.stages.length - 1];
}

const ENDED = ['completed', 'cancelled', 'failed'] as const;

const hasEnded = (view: RunView): boolean => (ENDED as readonly string[]).includes(view.state);

/** Nothing more happens by itself: it has ended, waits for a person, or failed steps are all that is left of its stage. */
export function isSettled(view: RunView): boolean {
  if (hasEnded(view) || view.state === 'waiting-approval') return true;
  if (view.state !== 'failed-steps') return false;
  return !stepsOf(view).some((step) => step.state === 'active' || step.state === 'waiting' || step.state === 'delayed');
}

export const stepsOf = (view: RunView): readonly StepView[] => view.stages.flatMap((stage) => stage.steps);

const Hooked = z.object({ at: z.string(), ran: z.array(z.object({ failure: z.string().optional() })) });

/** Commands of the operator that failed when there was nothing to go back to any more; the run went on. */
export const hookFailuresOf = (view: RunView): readonly string[] =>
  stepsOf(view).flatMap((step) => {
    const { at, ran } = Hooked.safeParse(step.output).data ?? { at: '', ran: [] };
    const where = step.database === undefined ? '' : ` (${step.database})`;
    return ran.flatMap(({ failure }) => (failure === undefined ? [] : [`hook at ${at}${where}: ${failure}`]));
  });

export const findingsOf = (view: RunView): readonly Finding[] =>
  view.summary?.findings ?? stepsOf(view).flatMap((step) => step.findings);

/** A point of a check with what was found there. */
export interface CheckedPoint {
  readonly point: Point;
  readonly findings: readonly Finding[];
  readonly state: 'OK' | 'KO' | 'note';
}

const Observed = z.object({ points: z.array(Point) });
const NOT_ASKED = z.object({ proven: z.literal('not-asked') });

/** Every point that a check has looked at, in the order in which it did. A step that tells no points is one itself. */
export const checkedPointsOf = (view: RunView): CheckedPoint[] =>
  stepsOf(view)
    .filter((step) => step.state === 'completed' && !NOT_ASKED.safeParse(step.output).success)
    .flatMap((step) => pointsOf(step) ?? [checked(pointOf(step), step.findings)]);

/** The same of a run that does more than check: points that its steps tell. */
export const observedPointsOf = (view: RunView): CheckedPoint[] =>
  stepsOf(view).flatMap((step) => pointsOf(step) ?? []);

const pointsOf = (step: StepView): CheckedPoint[] | undefined =>
  Observed.safeParse(step.output).data?.points.map((point) =>
    checked(
      point,
      step.findings.filter((finding) => finding.point === point.id),
    ),
  );

const checked = (point: Point, findings: readonly Finding[]): CheckedPoint => ({
  point,
  findings,
  state: stateOf(findings),
});

const pointOf = ({ key, title, database, findings }: StepView): Point => ({
  id: key,
  title,
  side: 'here',
  ...(database === undefined ? {} : { database }),
  ok: findings.length === 0,
  findings: [...new Set(findings.map(({ code }) => code))],
});

function stateOf(findings: readonly Finding[]): CheckedPoint['state'] {
  if (findings.length === 0) return 'OK';
  return findings.some(({ severity }) => severity === 'block') ? 'KO' : 'note';
}

function exitCodeOfCheck(findings: readonly Finding[]): ExitCode {
  if (findings.some(({ code }) => code === 'server-unreachable')) return ExitCode.unreachable;
  return findings.some(({ severity }) => severity === 'block') ? ExitCode.findings : ExitCode.ok;
}

/** A step, and what it is made of as if each part were a step: `inOneJob`. */
export function withParts<S extends StepView>(step: S): readonly S[] {
  const parts = PartsOutput.safeParse(step.output).data?.parts ?? [];
  return [step, ...parts.map((part) => ({ ...step, ...part }))];
}

const Counted = z.object({ tables: z.number(), rows: z.number() });

/** How much a run has compared, in all its databases. */
export const comparedOf = (view: RunView): z.output<typeof Counted> =>
  stepsOf(view)
    .flatMap(withParts)
    .flatMap((step) => Counted.safeParse(step.output).data ?? [])
    .reduce((sum, { tables, rows }) => ({ tables: sum.tables + tables, rows: sum.rows + rows }), {
      tables: 0,
      rows: 0,
    });

export interface Outage {
  readonly database: string;
  readonly milliseconds: number;
}

/** How long nobody could write to each database that this run has switched over, the longest first. */
export function outagesOf(view: RunView): Outage[] {
  const outages = stepsOf(view).flatMap((step) => {
    if (!hasOpened(step) || step.database === undefined) return [];
    const milliseconds = (step.output as { readonly outageMs?: unknown } | undefined)?.outageMs;
    return typeof milliseconds === 'number' ? [{ database: step.database, milliseconds }] : [];
  });
  return outages.toSorted((one, other) => other.milliseconds - one.milliseconds);
}

/** Milliseconds; of at least one outage, sorted. */
export const median = (outages: readonly Outage[]): number => outages[Math.floor(outages.length / 2)]!.milliseconds;

/** Milliseconds until it is done at the pace so far; undefined as long as that would be a guess. */
export function etaOf(done: number, total: number, elapsedMs: number): number | undefined {
  if (done <= 0 || done >= total || elapsedMs < 2_000) return undefined;
  return ((total - done) / done) * elapsedMs;
}

interface CopyTotals {
  readonly databases: number;
  readonly done: number;
  readonly total: number;
  readonly rows: number;
  readonly eta: number | undefined;
}

/** All copies of a stage together; undefined as long as none has said how much it is. */
export function copyTotals(stage: StageView, now: number): CopyTotals | undefined {
  const copies = stage.steps.filter((step) => step.queue === 'copy' && step.progress?.unit === 'bytes');
  if (copies.length === 0) return undefined;
  const done = sum(copies, (step) => (step.state === 'completed' ? step.progress!.total : step.progress!.done));
  const total = sum(copies, (step) => step.progress!.total);
  const active = copies.filter((step) => step.state === 'active' && step.startedAt !== undefined);
  const etas = active.map((step) => etaOf(step.progress!.done, step.progress!.total, now - step.startedAt!));
  const known = etas.filter((eta) => eta !== undefined);
  return {
    databases: copies.length,
    done,
    total,
    rows: sum(copies, (step) => step.progress!.rows ?? 0),
    eta: known.length === 0 ? undefined : Math.max(...known),
  };
}

const sum = <T>(items: readonly T[], of: (item: T) => number): number =>
  items.reduce((total, item) => total + of(item), 0);

/** Workflows that are run for what they find. */
const LOOKING: ReadonlySet<string> = new Set(['check', 'compare']);

/**
 * The exit code a run ends a command with. Failed steps that all have one and the same kind of cause pass it on, so that a
 * script can tell blocking findings (3) and an unreachable server (4) from everything else (1).
 */
export function exitCodeOf(view: RunView): ExitCode {
  switch (view.state) {
    case 'waiting-approval':
      return ExitCode.waiting;
    case 'cancelling':
    case 'cancelled':
      return ExitCode.cancelled;
    case 'failed':
      return view.error?.exitCode ?? ExitCode.failed;
    case 'failed-steps': {
      const codes = new Set(
        problemsOf(view).flatMap((problem) => (problem.kind === 'failed' ? problem.error.exitCode : [])),
      );
      const [code] = codes;
      return codes.size === 1 && code !== undefined && code !== ExitCode.ok ? code : ExitCode.failed;
    }
    case 'completed':
      return LOOKING.has(view.workflow) ? exitCodeOfCheck(findingsOf(view)) : ExitCode.ok;
    case 'running':
      return ExitCode.ok;
    default:
      return view.state satisfies never;
  }
}
