import type { Finding } from '../engine/finding.ts';
import type { OperationResult } from '../engine/run-operation.ts';
import type { SelectedDatabase } from '../engine/plan.ts';
import { finishOf, readFacts } from './job-state.ts';
import type { RunFacts } from './job-state.ts';
import { gateId, lanesOf, stepId } from './queues.ts';
import type { Queues, RunData, RunProgress, StageOutline } from './queues.ts';
import { runJob } from './run-job.ts';
import { errorFromText } from './step-error.ts';
import type { StepRecordData } from './step-record.ts';
import { reach } from './store.ts';
import type { JobFields } from './store.ts';
import type {
  LogLine,
  RunLine,
  RunState,
  RunSummary,
  RunView,
  StageView,
  StepError,
  StepState,
  StepView,
} from './types.ts';

/**
 * Everything about one run, in a handful of round trips whatever its size.
 * @throws PgconvoyError when there is no such run; UnreachableError when the queue is down.
 */
export async function readRun(queues: Queues, id: string): Promise<RunView> {
  return reach(queues, async () => {
    const { data } = await runJob(queues, id);
    const [facts] = await readFacts(queues, [{ id, data }]);
    return viewOf(facts!, await readStageJobs(queues, id, data, addedOf(facts!.job)));
  });
}

/** All runs, the newest first. */
export async function listRuns(queues: Queues): Promise<readonly RunLine[]> {
  return reach(queues, async () => {
    const jobs = await queues.run.getJobs([
      'active',
      'wait',
      'prioritized',
      'delayed',
      'waiting-children',
      'completed',
      'failed',
    ]);
    // A job that changes its state meanwhile may come twice.
    const runs = new Map<string, RunData>();
    for (const job of jobs) if (job?.id !== undefined) runs.set(job.id, job.data as RunData);
    const facts = await readFacts(
      queues,
      [...runs].map(([id, data]) => ({ id, data })),
    );
    return facts.map(lineOf).toSorted((one, other) => other.createdAt - one.createdAt || (one.id < other.id ? 1 : -1));
  });
}

/** The run that was started last; undefined when there is none. Runs that take another one back do not count. */
export async function latestRun(queues: Queues): Promise<RunLine | undefined> {
  return (await listRuns(queues)).find((run) => !run.undoes);
}

/** What the steps of a run noted, in order of time: attempts, results, errors. */
export async function runLogs(
  queues: Queues,
  id: string,
  filter: { readonly database?: string } = {},
): Promise<readonly LogLine[]> {
  return reach(queues, async () => {
    const { data } = await runJob(queues, id);
    const places = placesOf(id, data).filter(
      (place) => filter.database === undefined || place.database?.name === filter.database,
    );
    const lists = await queues.store.logs(places.map(({ id: job, step }) => ({ queue: step.queue, id: job })));
    return lists
      .flatMap((lines, index) => {
        const { step, stage, database } = places[index]!;
        return lines.map((line) => {
          const end = line.indexOf(' ');
          return {
            at: Date.parse(line.slice(0, end)),
            step: step.key,
            stage,
            database: database?.name,
            text: line.slice(end + 1),
          };
        });
      })
      .sort((one, other) => one.at - other.at);
  });
}

/** The workers that listen now, by name. Nobody listening means that a run would wait for ever. */
export async function workersListening(
  queues: Queues,
): Promise<{ readonly count: number; readonly names: readonly string[] }> {
  return reach(queues, async () => {
    const names = [...new Set(await queues.store.listening(queues.run))].sort();
    return { count: names.length, names };
  });
}

/** What a completed run returns. */
export async function readSummary(queues: Queues, id: string, data: RunData): Promise<RunSummary> {
  const [facts] = await readFacts(queues, [{ id, data }]);
  return summaryOf(facts!, await readStageJobs(queues, id, data, data.stages.length - 1));
}

interface StepPlace {
  readonly id: string;
  readonly stage: number;
  readonly step: StageOutline['steps'][number];
  readonly database: SelectedDatabase | undefined;
}

/** All steps of a run, database after database within a stage. */
export const placesOf = (run: string, data: RunData): readonly StepPlace[] =>
  data.stages.flatMap((stage, index) =>
    lanesOf(stage, data.databases).flatMap((database) =>
      stage.steps.map((step) => ({ id: stepId(run, index, database, step.key), stage: index, step, database })),
    ),
  );

interface StageJobs {
  readonly steps: readonly (StepPlace & { readonly job: JobFields | undefined })[];
  /** By index of stage. */
  readonly gates: ReadonlyMap<number, JobFields>;
}

/** Jobs of the stages that have begun; the later ones have none. */
async function readStageJobs(queues: Queues, id: string, data: RunData, added: number): Promise<StageJobs> {
  const places = placesOf(id, data);
  // The stage after `added` may be being added right now.
  const begun = places.filter((place) => place.stage <= added + 1);
  const gates = data.stages.flatMap((stage, index) => (stage.kind === 'gate' ? [index] : []));
  const jobs = await queues.store.jobs([
    ...begun.map((place) => ({ queue: place.step.queue, id: place.id })),
    ...gates.map((index) => ({ queue: 'gate' as const, id: gateId(id, index) })),
  ]);
  const known = new Map(begun.map((place, index) => [place.id, jobs[index]!]));
  return {
    steps: places.map((place) => ({ ...place, job: known.get(place.id) })),
    gates: new Map(gates.map((index, position) => [index, jobs[begun.length + position]!])),
  };
}

const addedOf = (job: JobFields): number => parse<RunProgress>(job.progress)?.added ?? -1;

function viewOf(facts: RunFacts, jobs: StageJobs): RunView {
  const { id, data, control, job } = facts;
  const steps = jobs.steps.map((step) => stepView(step, facts));
  const stages = stageViews(facts, jobs, steps);
  const current = stages.find((stage) => stage.state !== 'completed');
  const finish = finishOf(job);
  const state = stateOf(facts, {
    failures: steps.some((step) => step.state === 'failed'),
    atGate: current?.state === 'waiting-approval',
    active: steps.some((step) => step.state === 'active'),
  });
  const error =
    parse<RunProgress>(job.progress)?.error ??
    (job.failedReason === null ? undefined : errorFromText(job.failedReason));
  const summary = finish === 'completed' ? parse<RunSummary>(job.returnvalue) : undefined;
  const starts = steps.flatMap((step) => (step.attemptTimes[0] ? [step.attemptTimes[0].startedAt] : []));
  return {
    id,
    workflow: data.workflow,
    title: data.title,
    state,
    by: data.by,
    version: data.version,
    options: data.options,
    databases: data.databases,
    createdAt: Number(job.timestamp),
    ...(starts.length > 0 ? { startedAt: starts.reduce((one, other) => Math.min(one, other)) } : {}),
    ...(finish ? { finishedAt: Number(job.finishedOn) } : {}),
    stages,
    ...(current ? { stage: current.index } : {}),
    ...(control.cancel ? { cancel: control.cancel } : {}),
    ...(control.undoneBy === undefined ? {} : { undoneBy: control.undoneBy }),
    ...(data.undoes === undefined ? {} : { undoes: data.undoes }),
    ...(summary ? { summary } : {}),
    ...(finish === 'failed' && error && state === 'failed' ? { error } : {}),
  };
}

function lineOf(facts: RunFacts): RunLine {
  const { id, data, job, positions } = facts;
  const gates = data.stages.flatMap((stage, index) => (stage.kind === 'gate' ? [index] : []));
  return {
    id,
    workflow: data.workflow,
    title: data.title,
    state: stateOf(facts, {
      failures: positions.runsWithFailures.has(id),
      atGate: gates.some((index) => gateWaits(facts, index)),
      active: [...positions.active].some((active) => active.startsWith(`${id}.`)),
    }),
    by: data.by,
    createdAt: Number(job.timestamp),
    ...(finishOf(job) ? { finishedAt: Number(job.finishedOn) } : {}),
    databases: data.databases.length,
    ...(data.undoes === undefined ? {} : { undoes: data.undoes }),
  };
}

function stateOf(facts: RunFacts, seen: { failures: boolean; atGate: boolean; active: boolean }): RunState {
  const finish = finishOf(facts.job);
  if (finish === 'completed') return 'completed';
  if (facts.control.cancel) {
    const stopping = seen.active || facts.positions.active.has(facts.id) || facts.undo?.finished === false;
    return stopping ? 'cancelling' : 'cancelled';
  }
  if (finish === 'failed') return 'failed';
  if (seen.atGate) return 'waiting-approval';
  return seen.failures ? 'failed-steps' : 'running';
}

const gateWaits = (facts: RunFacts, index: number): boolean =>
  !facts.control.approvals.has(index) && facts.positions.delayed.has(gateId(facts.id, index));

function stageViews(facts: RunFacts, jobs: StageJobs, steps: readonly StepView[]): readonly StageView[] {
  const added = addedOf(facts.job);
  const byStage = new Map<number, StepView[]>(facts.data.stages.map((_, index) => [index, []]));
  for (const step of steps) byStage.get(step.stage)?.push(step);
  return facts.data.stages.map((stage, index): StageView => {
    const own = byStage.get(index) ?? [];
    const approval = facts.control.approvals.get(index);
    const gate = jobs.gates.get(index);
    const common = { index, kind: stage.kind, title: stage.title, steps: own, ...(approval ? { approval } : {}) };
    if (gate) {
      const state =
        finishOf(gate) === 'completed'
          ? 'completed'
          : gateWaits(facts, index)
            ? 'waiting-approval'
            : gate.exists
              ? 'running'
              : 'pending';
      return { ...common, state };
    }
    if (
      own.length > 0
        ? own.every((step) => step.state === 'completed')
        : index < added || finishOf(facts.job) === 'completed'
    ) {
      return { ...common, state: 'completed' };
    }
    return { ...common, state: index <= added ? 'running' : 'pending' };
  });
}

function stepView({ id, stage, step, database, job }: StageJobs['steps'][number], facts: RunFacts): StepView {
  const record = parse<StepRecordData>(job?.progress ?? null);
  const finish = job && finishOf(job);
  const result = finish === 'completed' ? parse<OperationResult>(job?.returnvalue ?? null) : undefined;
  const error = errorOf(job, record);
  const state = stepState(id, job, error, facts);
  const retryAt = facts.positions.delayed.get(id);
  return {
    id,
    stage,
    key: step.key,
    operation: step.operation,
    title: step.title,
    queue: step.queue,
    database: database?.name,
    state,
    attempts: Number(job?.ats ?? 0),
    ...(job?.processedOn ? { startedAt: Number(job.processedOn) } : {}),
    ...(finish ? { finishedAt: Number(job.finishedOn) } : {}),
    ...(state === 'delayed' && retryAt !== undefined ? { retryAt } : {}),
    ...(job?.pb ? { worker: job.pb } : {}),
    ...(result ? { changed: result.changed, output: result.output } : {}),
    ...(result?.changes === undefined ? {} : { changes: result.changes }),
    ...(record?.progress ? { progress: record.progress } : {}),
    ...(error && (state === 'failed' || state === 'delayed') ? { error } : {}),
    findings: result?.findings ?? record?.findings ?? [],
    attemptTimes: record?.attempts ?? [],
    ...(record?.repeated ? { repeated: record.repeated } : {}),
  };
}

const errorOf = (job: JobFields | undefined, record: StepRecordData | undefined): StepError | undefined =>
  record?.error ?? (job?.failedReason ? errorFromText(job.failedReason) : undefined);

function stepState(
  id: string,
  job: JobFields | undefined,
  error: StepError | undefined,
  { control, positions }: RunFacts,
): StepState {
  if (!job?.exists) return 'pending';
  const finish = finishOf(job);
  if (finish === 'completed') return 'completed';
  if (finish === 'failed') return error?.name === 'Cancelled' ? 'cancelled' : 'failed';
  if (positions.active.has(id)) return 'active';
  if (positions.delayed.has(id)) return control.cancel ? 'cancelled' : 'delayed';
  if (positions.waiting.has(id)) return control.cancel ? 'cancelled' : 'waiting';
  return 'pending';
}

function summaryOf(facts: RunFacts, jobs: StageJobs): RunSummary {
  let changed = 0;
  let unchanged = 0;
  const findings: Finding[] = [];
  const spans = new Map<number, { start: number; end: number }>();
  const extend = (stage: number, start: number, end: number) => {
    const span = spans.get(stage);
    spans.set(stage, { start: Math.min(start, span?.start ?? start), end: Math.max(end, span?.end ?? end) });
  };
  for (const { stage, job } of jobs.steps) {
    if (!job) continue;
    const result = parse<OperationResult>(job.returnvalue);
    if (result?.changed) changed += 1;
    else unchanged += 1;
    findings.push(...(result?.findings ?? []));
    const [first] = parse<StepRecordData>(job.progress)?.attempts ?? [];
    extend(stage, first?.startedAt ?? Number(job.processedOn), Number(job.finishedOn));
  }
  for (const [stage, job] of jobs.gates)
    extend(stage, Number(job.timestamp), facts.control.approvals.get(stage)?.at ?? Number(job.finishedOn));
  const durations = facts.data.stages.map((stage, index) => {
    const span = spans.get(index);
    return { stage: index, title: stage.title, milliseconds: span ? span.end - span.start : 0 };
  });
  return { changed, unchanged, findings, durations };
}

/** A job without progress holds the number 0. */
function parse<T>(text: string | null): T | undefined {
  if (text === null) return undefined;
  const value: unknown = JSON.parse(text);
  return typeof value === 'object' && value !== null ? (value as T) : undefined;
}
