import { hasOpened, opensDatabases } from '../../queue/opening.ts';
import { problemsOf } from '../../queue/problems.ts';
import type { RunState, RunView, StageView, StepState, StepView } from '../../queue/types.ts';
import { figuresOf } from '../run-figures.ts';
import type { RunFigures } from '../run-figures.ts';

/** What the page of a run shows, from the run as it was read. Pure: no clock but the run's own times. */

/** A step of the matrix; database steps and cluster steps each have their own columns. */
interface Column {
  readonly key: string;
  readonly title: string;
  /** Index of its stage. */
  readonly stage: number;
}

/** Everything but the lanes. Times are milliseconds since 1970. */
interface RunHead {
  readonly id: string;
  readonly workflow: string;
  readonly title: string;
  readonly state: RunState;
  readonly by: string;
  readonly version: string;
  readonly createdAt: number;
  readonly startedAt?: number;
  readonly finishedAt?: number;
  readonly stage?: number;
  readonly stages: readonly (Pick<StageView, 'index' | 'kind' | 'title' | 'state' | 'approval'> & {
    /** Lanes at the end of it, and how many there are. */
    readonly done: number;
    readonly lanes: number;
  })[];
  readonly columns: { readonly database: readonly Column[]; readonly cluster: readonly Column[] };
  readonly cancel?: RunView['cancel'];
  readonly undoneBy?: string;
  readonly undoes?: string;
  readonly error?: Shown;
  readonly problems: readonly ProblemLine[];
  readonly copy?: NonNullable<RunFigures['copy']>;
}

interface Shown {
  readonly message: string;
  readonly hint: string;
}

/** Databases that stand at the same step with the same cause; the servers themselves are null. */
interface ProblemLine extends Shown {
  readonly kind: 'failed' | 'delayed';
  readonly key: string;
  readonly databases: readonly (string | null)[];
  /** Of whom only the first are named. */
  readonly count: number;
}

/** One row of the matrix: a database, or the servers (name null). */
export interface LaneLine {
  readonly name: string | null;
  /** One letter for each column: p(ending) w(aiting) a(ctive) d(elayed) c(ompleted) f(ailed) x (cancelled). */
  readonly cells: string;
  readonly done: number;
  /** Of its current step; `completed`: there is none. */
  readonly state: StepState;
  /** The column of the step that is its turn. */
  readonly at?: number;
  readonly startedAt?: number;
  readonly retryAt?: number;
  readonly queue?: StepView['queue'];
  readonly progress?: StepView['progress'];
  readonly error?: string;
  /** Since when nobody can write to it, or for how long nobody could, milliseconds. */
  readonly outage?: { readonly since: number } | { readonly milliseconds: number };
}

export interface RunPage {
  readonly head: RunHead;
  readonly lanes: readonly LaneLine[];
}

const LETTERS: Readonly<Record<StepState, string>> = {
  pending: 'p',
  waiting: 'w',
  active: 'a',
  delayed: 'd',
  completed: 'c',
  failed: 'f',
  cancelled: 'x',
};

const NAMED = 20;

export function pageOf(view: RunView): RunPage {
  const byLane = stepsByLane(view);
  const { id, workflow, title, state, by, version, createdAt, startedAt, finishedAt, stage, cancel, undoneBy, undoes } =
    view;
  const { copy } = figuresOf(view);
  return {
    head: {
      id,
      workflow,
      title,
      state,
      by,
      version,
      createdAt,
      ...(startedAt === undefined ? {} : { startedAt }),
      ...(finishedAt === undefined ? {} : { finishedAt }),
      ...(stage === undefined ? {} : { stage }),
      stages: view.stages.map(stageLine),
      columns: { database: columnsOf(view, 'database'), cluster: columnsOf(view, 'cluster') },
      ...(cancel ? { cancel } : {}),
      ...(undoneBy === undefined ? {} : { undoneBy }),
      ...(undoes === undefined ? {} : { undoes }),
      ...(view.error ? { error: shown(view.error) } : {}),
      problems: problemsOf(view).map(({ kind, step, error, databases }) => ({
        kind,
        key: step.key,
        ...shown(error),
        databases: databases.slice(0, NAMED).map((name) => name ?? null),
        count: databases.length,
      })),
      ...(copy ? { copy } : {}),
    },
    lanes: [...byLane].map(([name, steps]) => laneOf(name, steps, byLane.get(null) ?? [])),
  };
}

const shown = ({ message, hint }: Shown): Shown => ({ message, hint });

/** The steps of one lane through the whole run; undefined where there is no such lane. */
export const laneStepsOf = (view: RunView, database: string | null): readonly StepView[] | undefined =>
  stepsByLane(view).get(database);

/** The servers first, then the databases in the order of the run. */
function stepsByLane({ stages }: RunView): ReadonlyMap<string | null, readonly StepView[]> {
  const lanes = new Map<string | null, StepView[]>([[null, []]]);
  for (const { steps } of stages)
    for (const step of steps) {
      const lane = lanes.get(step.database ?? null);
      if (lane) lane.push(step);
      else lanes.set(step.database ?? null, [step]);
    }
  if (lanes.get(null)?.length === 0) lanes.delete(null);
  return lanes;
}

/** Every lane of a stage has the same steps. */
const columnsOf = ({ stages }: RunView, kind: 'database' | 'cluster'): readonly Column[] =>
  stages
    .filter((stage) => stage.kind === kind)
    .flatMap(({ index, steps }) =>
      steps
        .filter(({ database }) => database === steps[0]?.database)
        .map(({ key, title }) => ({ key, title, stage: index })),
    );

function stageLine({ index, kind, title, state, approval, steps }: StageView): RunHead['stages'][number] {
  const left = new Set(steps.filter((step) => step.state !== 'completed').map(({ database }) => database));
  const lanes = new Set(steps.map(({ database }) => database)).size;
  return {
    index,
    kind,
    title,
    state,
    ...(approval ? { approval } : {}),
    done: lanes - left.size,
    lanes,
  };
}

const FENCES: ReadonlySet<string> = new Set(['fence-source', 'fence-together']);

function laneOf(name: string | null, steps: readonly StepView[], cluster: readonly StepView[]): LaneLine {
  const at = steps.findIndex(({ state }) => state !== 'completed');
  const current = steps[at];
  const outage = name === null ? undefined : outageOf(steps, cluster);
  return {
    name,
    cells: steps.map(({ state }) => LETTERS[state]).join(''),
    done: current ? at : steps.length,
    state: current?.state ?? 'completed',
    ...(current ? { at, queue: current.queue } : {}),
    ...(current?.startedAt === undefined || current.state !== 'active' ? {} : { startedAt: current.startedAt }),
    ...(current?.retryAt === undefined ? {} : { retryAt: current.retryAt }),
    ...(current?.progress && current.state === 'active' ? { progress: current.progress } : {}),
    ...(current?.error ? { error: current.error.message } : {}),
    ...(outage ? { outage } : {}),
  };
}

/**
 * From the fence to the opening; exact as soon as the database is open, since the servers' own clock tells it then.
 * @param cluster steps of the cluster: one of them fences all that are switched over together
 */
export function outageOf(steps: readonly StepView[], cluster: readonly StepView[]): LaneLine['outage'] {
  const opened = steps.findLast((step) => opensDatabases(step) && step.state === 'completed');
  if (opened) {
    const milliseconds = (opened.output as { readonly outageMs?: unknown } | undefined)?.outageMs;
    return hasOpened(opened) && typeof milliseconds === 'number' ? { milliseconds } : undefined;
  }
  const fence = [...steps, ...cluster].find(
    ({ operation, key, state }) =>
      FENCES.has(operation) && !key.startsWith('undo-') && (state === 'completed' || state === 'active'),
  );
  const stopped = steps.some(({ state }) => state === 'failed' || state === 'cancelled');
  return fence?.startedAt === undefined || stopped ? undefined : { since: fence.startedAt };
}
