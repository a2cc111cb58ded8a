import { readControls } from './control-record.ts';
import type { ControlRecord } from './control-record.ts';
import { QUEUES, runOf, STEP_QUEUES } from './queues.ts';
import type { Queues, RunData } from './queues.ts';
import type { JobFields } from './store.ts';

/** Where the jobs of all runs are right now. What is finished is seen from the jobs themselves. */
interface Positions {
  readonly active: ReadonlySet<string>;
  readonly waiting: ReadonlySet<string>;
  /** When its time comes, in milliseconds since 1970. */
  readonly delayed: ReadonlyMap<string, number>;
  /** Runs with a step that failed for good. */
  readonly runsWithFailures: ReadonlySet<string>;
}

async function readPositions({ store }: Queues): Promise<Positions> {
  const [places, failed] = await Promise.all([
    store.inState(QUEUES, ['active', 'waiting', 'delayed']),
    store.inState(STEP_QUEUES, ['failed']),
  ]);
  const active = new Set<string>();
  const waiting = new Set<string>();
  const delayed = new Map<string, number>();
  for (const { id, state, due } of places) {
    if (state === 'active') active.add(id);
    else if (state === 'waiting') waiting.add(id);
    else if (due !== undefined) delayed.set(id, due);
  }
  return { active, waiting, delayed, runsWithFailures: new Set(failed.map(({ id }) => runOf(id))) };
}

/** A finished job keeps its `failedReason` or `returnvalue`; a retry removes them and `finishedOn`. */
export function finishOf(job: JobFields): 'completed' | 'failed' | undefined {
  if (job.finishedOn === null) return undefined;
  return job.returnvalue === null ? 'failed' : 'completed';
}

export interface RunFacts {
  readonly id: string;
  readonly data: RunData;
  readonly control: ControlRecord;
  /** The job of the run itself. */
  readonly job: JobFields;
  readonly positions: Positions;
  /** The run that takes this one back, where there is one. */
  readonly undo?: { readonly finished: boolean };
}

/** What tells the state of each of these runs. */
export async function readFacts(
  queues: Queues,
  runs: readonly { readonly id: string; readonly data: RunData }[],
): Promise<readonly RunFacts[]> {
  const ids = runs.map((run) => run.id);
  const [controls, jobs, positions] = await Promise.all([
    readControls(queues, ids),
    queues.store.jobs(ids.map((id) => ({ queue: 'run', id }))),
    readPositions(queues),
  ]);
  const undoIds = [...controls.values()].flatMap((control) =>
    control.undoneBy === undefined ? [] : [control.undoneBy],
  );
  const undoJobs = await queues.store.jobs(undoIds.map((id) => ({ queue: 'run', id })));
  const undone = new Map(undoIds.map((id, index) => [id, undoJobs[index]!]));
  return runs.map(({ id, data }, index) => {
    const control = controls.get(id)!;
    const undo = control.undoneBy === undefined ? undefined : undone.get(control.undoneBy);
    return {
      id,
      data,
      control,
      job: jobs[index]!,
      positions,
      ...(undo ? { undo: { finished: finishOf(undo) !== undefined } } : {}),
    };
  });
}
