import type { FlowJob } from 'bullmq';
import type { PlannedStep, SelectedDatabase, Stage } from '../engine/plan.ts';
import { gateId, jobOptions, lanesOf, stepId } from './queues.ts';
import type { Queues, RunData, StepData } from './queues.ts';

/** Lanes in one round trip: 50 lanes of 12 steps keep the event loop busy for less than 100 ms. */
const BATCH = 50;
/** A few go before the others, so that there is work while those are added. */
const FIRST = 4;
/** A gate is a job nobody's turn ever comes to; should it come, the gate puts itself back. */
export const GATE_DELAY_MS = 365 * 24 * 3_600_000;
/** Behind every step of a lane that does not yield. */
const YIELDS = 1_000;
const DEFAULT_ATTEMPTS = 5;

/**
 * Adds the lanes of a stage (or its gate) as children of the run. Ids are the same each time, so adding again leaves alone
 * what is there, counts what is completed, and puts back what was removed.
 */
export async function addStage(
  queues: Queues,
  run: string,
  data: RunData,
  stage: Stage,
  lanes: readonly (SelectedDatabase | undefined)[] = lanesOf({ ...stage, steps: [] }, data.databases),
): Promise<void> {
  if (stage.kind === 'gate') {
    const parent = { id: run, queue: queues.run.qualifiedName };
    const opts = {
      ...jobOptions,
      jobId: gateId(run, stage.index),
      delay: GATE_DELAY_MS,
      parent,
      attempts: 10,
      backoff: { type: 'steady' },
    };
    await queues.gate.add('approval', { run, workflow: data.workflow, stage: stage.index }, opts);
    return;
  }
  for (let start = 0; start < lanes.length; start += start === 0 ? FIRST : BATCH) {
    const batch = lanes.slice(start, start + (start === 0 ? FIRST : BATCH));
    await queues.flow.addBulk(
      batch.map((database) => lane(queues, run, data.workflow, stage.index, stage.steps, database)),
    );
  }
}

/** A chain: the deepest child runs first, the last step has the run as its parent. */
function lane(
  queues: Queues,
  run: string,
  workflow: string,
  stage: number,
  steps: readonly PlannedStep[],
  database: SelectedDatabase | undefined,
): FlowJob {
  let chain: FlowJob | undefined;
  for (const [position, step] of steps.entries()) {
    const data: StepData = { run, workflow, stage, step: step.key, ...(database ? { database } : {}) };
    chain = {
      name: step.key,
      queueName: step.queue,
      data,
      opts: {
        ...jobOptions,
        jobId: stepId(run, stage, database, step.key),
        // A lane that has begun ends before a new one begins: short outages, bounded WAL. 0 comes first. All databases wait for the
        // cluster's steps, so of two lanes as near to their end that of the cluster is the first.
        priority: step.policy.yields ? YIELDS : steps.length - position - (database ? 0 : 1),
        attempts: step.policy.attempts ?? DEFAULT_ATTEMPTS,
        backoff: { type: 'growing' },
      },
      ...(chain ? { children: [chain] } : {}),
    };
  }
  if (!chain) throw new TypeError(`stage ${stage} of ${workflow} has no steps`);
  return { ...chain, opts: { ...chain.opts, parent: { id: run, queue: queues.run.qualifiedName } } };
}

/** Lets a gate pass that is approved. Its job may be on its way back to its place; it looks for the approval itself then. */
export async function releaseGate(queues: Queues, id: string, stage: number): Promise<void> {
  const gate = await queues.gate.getJob(gateId(id, stage));
  if (await gate?.isDelayed()) await gate?.promote().catch(() => undefined);
}
