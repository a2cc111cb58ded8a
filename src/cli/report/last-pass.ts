import type { RepeatedStep, RunView, StepView } from '../../queue/types.ts';
import { repeatedKey } from '../../queue/step-record.ts';
import { stepsOf } from '../run-facts.ts';

/** A step with what came of it the last time. */
export interface LastlyDone extends StepView {
  /** Of a step that was done once more, since its databases had been given back. */
  readonly lastly?: RepeatedStep & {
    /** Key of the step that was tried again, in whose job this was. */
    readonly within: string;
    /** In all such steps. */
    readonly repeats: number;
  };
}

/**
 * All steps of a run, with what they came to the last time: after a database was given back nothing counts that was done for it before,
 * and the step that is tried again does it all once more. What found nothing to change keeps what was changed before. Pure.
 */
export function lastPassOf(view: RunView): readonly LastlyDone[] {
  const steps = stepsOf(view);
  const last = new Map<string, NonNullable<LastlyDone['lastly']>>();
  for (const { key: within, repeated = [] } of steps) {
    for (const each of repeated) {
      const known = last.get(repeatedKey(each));
      const repeats = each.times + (known?.repeats ?? 0);
      const latest = known && known.finishedAt > each.finishedAt ? known : { ...known, ...each, within };
      last.set(repeatedKey(each), { ...latest, repeats });
    }
  }
  return steps.map((step) => {
    const lastly = last.get(repeatedKey(step));
    if (!lastly) return step;
    const { output, findings, changes = step.changes } = lastly;
    const changed = step.changed === true || lastly.repeats > 0;
    return { ...step, changed, changes, output, findings, lastly };
  });
}
