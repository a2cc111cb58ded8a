import { createHash } from 'node:crypto';
import { isChanging } from '../engine/in-one-job.ts';
import { stagesOf } from '../engine/plan.ts';
import type { PlannedStep, Stage } from '../engine/plan.ts';
import type { Row, Workflow } from '../engine/workflow.ts';
import { PgconvoyError } from '../errors.ts';
import type { RunData, StageOutline } from './queues.ts';

/** The rows a run walks through: those of its workflow, or those that take a cancelled run back. */
export const rowsOf = (workflow: Workflow, part: RunData['part']): readonly Row[] =>
  part === 'rows' ? workflow.rows : (workflow.onCancel ?? []);

/** Equal for stages that do the same; titles do not count. */
export function fingerprintOf(stages: readonly Stage[]): string {
  const essence = stages.map((stage) =>
    stage.kind === 'gate'
      ? 'gate'
      : [
          stage.kind,
          stage.steps.map(({ key, operation, queue, input, policy }) => ({ key, operation, queue, input, policy })),
        ],
  );
  return createHash('sha256').update(JSON.stringify(essence)).digest('hex').slice(0, 16);
}

export const outlineOf = (stages: readonly Stage[]): readonly StageOutline[] =>
  stages.map((stage) => ({
    kind: stage.kind,
    title: stage.title,
    steps:
      stage.kind === 'gate'
        ? []
        : stage.steps.map(({ key, operation, title, queue }) => ({ key, operation, title, queue })),
  }));

const changes = (step: PlannedStep, rows: readonly Row[]): boolean =>
  step.policy.direction === 'undo' ||
  rows.some((row) => 'operation' in row && row.operation.name === step.operation && isChanging(row.operation));

/** Index of the first stage that changes anything, or null: a workflow of preflight checks alone. */
export function firstChange(rows: readonly Row[], options: RunData['options']): number | null {
  const index = stagesOf(rows, options).findIndex(
    (stage) => stage.kind !== 'gate' && stage.steps.some((step) => changes(step, rows)),
  );
  return index < 0 ? null : index;
}

/**
 * The stages of a run, built again from the workflow of this version.
 * @throws PgconvoyError when this version has no such workflow, or one with other steps.
 */
export function stagesOfRun(id: string, data: RunData, workflows: readonly Workflow[]): readonly Stage[] {
  const workflow = workflows.find((one) => one.name === data.workflow);
  const stages = workflow ? stagesOf(rowsOf(workflow, data.part), data.options) : [];
  if (!workflow || fingerprintOf(stages) !== data.fingerprint) {
    throw new PgconvoyError(
      `Run ${id} was started by pgconvoy ${data.version}, and in this version the workflow "${data.workflow}" ${workflow ? 'has other steps' : 'does not exist'}.`,
      {
        hint: `Start a new run (pgconvoy ${data.workflow}): it finds what is done and does the rest. Or go on with this run using pgconvoy ${data.version}.`,
      },
    );
  }
  return stages;
}
