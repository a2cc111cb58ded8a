import type { ExitCode } from '../../errors.ts';
import type { RunView } from '../../queue/types.ts';
import { predictionOf } from '../rehearsal/prediction.ts';
import { checkedPointsOf, findingsOf, outagesOf, stepsOf } from '../run-facts.ts';

/** A run as JSON: how it ended, what stands in its way, what was found, and all of it. Keys are only ever added. */
export function runDocument(
  view: RunView,
  code: ExitCode,
  more: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  const prediction = predictionOf(view);
  return {
    ok: code === 0,
    code,
    problems: stepsOf(view)
      .filter((step) => step.state === 'failed' || (step.state === 'delayed' && step.error !== undefined))
      .map((step) => ({
        database: step.database ?? null,
        step: step.key,
        state: step.state,
        attempts: step.attempts,
        message: step.error?.message ?? null,
        hint: step.error?.hint ?? null,
      })),
    ...(view.workflow === 'check'
      ? { points: checkedPointsOf(view).map(({ point, state }) => ({ ...point, state })) }
      : {}),
    findings: findingsOf(view),
    outages: outagesOf(view),
    ...(prediction ? { prediction } : {}),
    run: view,
    ...more,
  };
}
