import type { RunView, StepView } from '../../queue/types.ts';
import { currentStage, stepsOf } from '../run-facts.ts';
import { stageLines } from './lanes.ts';
import { duration, plural, visible } from './text.ts';

/**
 * What has happened between two readings of a run, as lines for a log: for pipes, CI and dumb terminals. Every line stands
 * for itself; the same trouble is told once, however often it is tried again.
 */
export function eventsBetween(before: RunView | undefined, after: RunView): string[] {
  const lines: string[] = [];
  if (!before) lines.push(`${after.id}: ${after.title}, ${plural(after.databases.length, 'database')}`);
  const known = new Map(before ? stepsOf(before).map((step) => [step.id, step]) : []);
  for (const step of stepsOf(after)) lines.push(...stepEvents(known.get(step.id), step));
  for (const stage of after.stages) {
    const was = before?.stages[stage.index];
    const name = `stage ${stage.index + 1} of ${after.stages.length}: ${stage.title}`;
    if (stage.state === 'completed' && was?.state !== 'completed') {
      if (stage.approval) lines.push(`${name}: approved by ${visible(stage.approval.by)}`);
      else if (before) lines.push(`${name}: done${stageTime(stage.steps)}`);
    } else if (stage.state === 'waiting-approval' && was?.state !== 'waiting-approval') {
      lines.push(`${name}: waits for approval: pgconvoy approve ${after.id}`);
    } else if (stage.state === 'running' && was?.state !== 'running') lines.push(name);
  }
  if (before?.state !== after.state && (after.state === 'cancelling' || after.state === 'cancelled')) {
    lines.push(`${after.id}: ${after.state}${after.cancel ? ` by ${visible(after.cancel.by)}` : ''}`);
  }
  return lines;
}

function stepEvents(before: StepView | undefined, after: StepView): string[] {
  const where = after.database === undefined ? after.key : `${visible(after.database)}: ${after.key}`;
  const cause = after.error === undefined ? '' : `: ${visible(after.error.message)}`;
  if (after.state === 'failed' && before?.state !== 'failed') {
    return [
      `✗ ${where} failed${cause}`,
      ...(after.error ? [`  → ${after.error.hint.replaceAll('\n', '\n    ')}`] : []),
    ];
  }
  if (after.state === 'delayed' && after.error && after.error.message !== before?.error?.message) {
    return [`! ${where} tries again (attempt ${after.attempts + 1})${cause}`];
  }
  const { heldUp } = after.state === 'active' ? (after.progress ?? {}) : {};
  if (heldUp !== undefined && heldUp !== before?.progress?.heldUp) return [`! ${where} is held up: ${visible(heldUp)}`];
  if (before?.state === 'failed' && after.state !== 'failed') return [`${where} is tried again`];
  return [];
}

function stageTime(steps: readonly StepView[]): string {
  const starts = steps.flatMap((step) => step.startedAt ?? []);
  const ends = steps.flatMap((step) => step.finishedAt ?? []);
  if (starts.length === 0 || ends.length === 0) return '';
  const most = (values: readonly number[]) => values.reduce((a, b) => Math.max(a, b), -Infinity);
  const least = (values: readonly number[]) => values.reduce((a, b) => Math.min(a, b), Infinity);
  return ` in ${duration(most(ends) - least(starts))}`;
}

/** Where the run stands, in one line. */
export function progressLine(view: RunView, now: number): string {
  const stage = currentStage(view);
  if (!stage || stage.kind === 'gate') return `${view.id}: ${view.state}`;
  return `stage ${stage.index + 1} of ${view.stages.length}: ${stageLines(stage, now).join('; ')}`;
}
