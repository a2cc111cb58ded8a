import type { RunView, StepError, StepView } from './types.ts';

/** Databases (or the cluster) that stand at the same step with the same cause. */
export interface Problem {
  readonly kind: 'failed' | 'delayed';
  readonly step: StepView;
  readonly error: StepError;
  readonly databases: readonly (string | undefined)[];
}

/** Failed steps first, then those that try again; one problem for all databases that share the step and the cause. */
export function problemsOf(view: RunView): Problem[] {
  const problems = new Map<string, { problem: Problem; databases: (string | undefined)[] }>();
  for (const step of view.stages.flatMap((stage) => stage.steps)) {
    if (!step.error || (step.state !== 'failed' && step.state !== 'delayed')) continue;
    const cause = step.database === undefined ? step.error.message : step.error.message.replaceAll(step.database, '…');
    const key = `${step.state}\n${step.key}\n${cause}`;
    const known = problems.get(key);
    if (known) known.databases.push(step.database);
    else {
      const databases = [step.database];
      problems.set(key, { problem: { kind: step.state, step, error: step.error, databases }, databases });
    }
  }
  const all = [...problems.values()].map(({ problem }) => problem);
  return [...all.filter(({ kind }) => kind === 'failed'), ...all.filter(({ kind }) => kind === 'delayed')];
}
