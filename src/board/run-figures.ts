import type { RunView, StepState, StepView } from '../queue/types.ts';

/** A database's lane through the whole run. */
export const LANE_STATES = ['failed', 'delayed', 'active', 'cancelled', 'waiting', 'completed'] as const;
type LaneState = (typeof LANE_STATES)[number];

export interface RunFigures {
  readonly lanes: Readonly<Record<LaneState, number>>;
  /** Of the initial copies; undefined as long as none has said how much it is. */
  readonly copy: { readonly bytes: number; readonly totalBytes: number; readonly rows: number } | undefined;
}

/** What is counted of one run. Pure. */
export function figuresOf({ stages }: Pick<RunView, 'stages'>): RunFigures {
  const byDatabase = new Map<string, Set<StepState>>();
  const copies: StepView[] = [];
  for (const step of stages.flatMap((stage) => stage.steps)) {
    if (step.queue === 'copy' && step.progress?.unit === 'bytes') copies.push(step);
    if (step.database === undefined) continue;
    const states = byDatabase.get(step.database);
    if (states) states.add(step.state);
    else byDatabase.set(step.database, new Set([step.state]));
  }
  const lanes = { failed: 0, delayed: 0, active: 0, cancelled: 0, waiting: 0, completed: 0 };
  for (const states of byDatabase.values()) lanes[laneState(states)] += 1;
  return { lanes, copy: copies.length === 0 ? undefined : copyOf(copies) };
}

function laneState(states: ReadonlySet<StepState>): LaneState {
  const found = LANE_STATES.find((state) => state !== 'completed' && states.has(state));
  if (found !== undefined) return found;
  return states.has('pending') ? 'waiting' : 'completed';
}

function copyOf(copies: readonly StepView[]): NonNullable<RunFigures['copy']> {
  let [bytes, totalBytes, rows] = [0, 0, 0];
  for (const { state, progress } of copies) {
    bytes += state === 'completed' ? progress!.total : progress!.done;
    totalBytes += progress!.total;
    rows += progress!.rows ?? 0;
  }
  return { bytes, totalBytes, rows };
}
