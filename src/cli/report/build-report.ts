import * as z from 'zod';
import type { Settings } from '../../config/schema.ts';
import type { Finding } from '../../engine/finding.ts';
import type { LogLine, RunView, StageView, StepView } from '../../queue/types.ts';
import type { Ledgers } from '../../runtime/read-ledgers.ts';
import { median, observedPointsOf } from '../run-facts.ts';
import { predictionOf } from '../rehearsal/prediction.ts';
import { observedOf } from './database.ts';
import type { Report, ReportedApproval, ReportedServer, ReportedStage } from './report.ts';
import { hooksOf } from './hooks.ts';
import { lastPassOf } from './last-pass.ts';
import type { LastlyDone } from './last-pass.ts';
import { rehearsalOf } from './rehearsed.ts';
import { reportedStep, troublesOf } from './steps.ts';
import { waiversOf } from './waivers.ts';

/** What a report is made from: the run as its jobs tell it, and both servers as they are now. */
export interface ReportSources {
  readonly view: RunView;
  /** The rehearsal before it, where there was one. */
  readonly rehearsal?: RunView | undefined;
  readonly lines: readonly LogLine[];
  readonly ledgers: Ledgers;
  readonly settings: Settings;
  readonly written: Report['written'];
}

/** Everything of a run that somebody who signs it off wants to see. Pure. */
export function buildReport({ view, rehearsal, lines, ledgers, settings, written }: ReportSources): Report {
  const steps = lastPassOf(view);
  const troubles = troublesOf(lines);
  const checks = checksOf(view);
  const findings = distinct(steps.flatMap((step) => step.findings));
  const byDatabase = new Map<string | undefined, LastlyDone[]>();
  for (const step of steps) {
    const known = byDatabase.get(step.database);
    if (known) known.push(step);
    else byDatabase.set(step.database, [step]);
  }
  const stepsIn = (database: string | undefined) =>
    (byDatabase.get(database) ?? []).map((step) => reportedStep(step, troubles));
  const databases = view.databases.map((database) => ({
    name: database.name,
    oid: database.oid,
    ...observedOf(database, byDatabase.get(database.name) ?? [], byDatabase.get(undefined) ?? [], ledgers.opened),
    steps: stepsIn(database.name),
  }));
  return {
    written,
    run: runOf(view),
    approvals: approvalsOf(view),
    engine: engineOf(steps) ?? ledgers.engine ?? null,
    servers: { source: serverOf('source', ledgers, checks), target: serverOf('target', ledgers, checks) },
    clientTools: checks.find(({ id }) => id === 'client-tools')?.detail ?? null,
    configuration: settings,
    checks,
    findings,
    waivers: waiversOf(settings, findings),
    hooks: hooksOf(steps),
    outage: outageOf(databases),
    prediction: predictionOf(view) ?? null,
    rehearsal: rehearsalOf(view, rehearsal),
    stages: view.stages.map(stageOf),
    cluster: stepsIn(undefined),
    databases,
  };
}

const runOf = (view: RunView): Report['run'] => ({
  id: view.id,
  workflow: view.workflow,
  title: view.title,
  state: view.state,
  by: view.by,
  version: view.version,
  options: view.options,
  createdAt: view.createdAt,
  startedAt: view.startedAt ?? null,
  finishedAt: view.finishedAt ?? null,
  cancelled: view.cancel ?? null,
  undoneBy: view.undoneBy ?? null,
  undoes: view.undoes ?? null,
  error: view.error ?? null,
});

const approvalsOf = (view: RunView): ReportedApproval[] =>
  view.stages
    .filter((stage) => stage.kind === 'gate')
    .map(({ index, title, state, approval }) => ({
      stage: index,
      title,
      state: approval
        ? 'approved'
        : state === 'waiting-approval'
          ? 'waiting'
          : state === 'completed'
            ? 'not-needed'
            : 'pending',
      by: approval?.by ?? null,
      at: approval?.at ?? null,
    }));

const Proven = z.object({ engine: z.string() });
const engineOf = (steps: readonly StepView[]): string | undefined =>
  steps.flatMap((step) => Proven.safeParse(step.output).data?.engine ?? [])[0];

/** Each point as it was looked at last: an upgrade checks the servers more than once. */
function checksOf(view: RunView): Report['checks'] {
  const points = new Map(
    observedPointsOf(view).map(({ point, state }) => [
      JSON.stringify([point.side, point.database ?? null, point.id]),
      { ...point, state },
    ]),
  );
  return [...points.values()];
}

function distinct(findings: readonly Finding[]): Finding[] {
  const key = ({ code, side, database, object, message }: Finding) =>
    JSON.stringify([code, side, database ?? null, object ?? null, message]);
  return [...new Map(findings.map((finding) => [key(finding), finding])).values()];
}

function serverOf(side: 'source' | 'target', ledgers: Ledgers, checks: Report['checks']): ReportedServer {
  const { address, user, version, unreachable, notes } = ledgers[side];
  const recorded = checks.find((point) => point.id === 'connection' && point.side === side)?.detail;
  return {
    address,
    user,
    recorded: recorded ?? null,
    version: version ?? null,
    unreachable: unreachable ?? null,
    ledger: unreachable === undefined ? notes : null,
  };
}

function outageOf(databases: Report['databases']): Report['outage'] {
  const outages = databases
    .flatMap(({ name, cutover }) =>
      cutover?.from === 'run' && cutover.outageMs !== null ? [{ database: name, milliseconds: cutover.outageMs }] : [],
    )
    .toSorted((one, other) => other.milliseconds - one.milliseconds);
  const [worst] = outages;
  return worst ? { databases: outages.length, medianMs: median(outages), worst } : null;
}

function stageOf({ index, kind, title, state, steps, approval }: StageView): ReportedStage {
  const starts = steps.flatMap((step) => step.attemptTimes[0]?.startedAt ?? step.startedAt ?? []);
  const ends = steps.flatMap((step) => step.finishedAt ?? []);
  const startedAt = starts.reduce<number | null>((one, other) => Math.min(one ?? other, other), null);
  const end = state === 'completed' ? ends.reduce((one, other) => Math.max(one, other), 0) : 0;
  return {
    index,
    kind,
    title,
    state,
    startedAt: startedAt ?? approval?.at ?? null,
    milliseconds: startedAt !== null && end > 0 ? end - startedAt : null,
  };
}
