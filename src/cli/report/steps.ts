import type { LogLine } from '../../queue/types.ts';
import type { LastlyDone } from './last-pass.ts';
import type { ReportedStep } from './report.ts';

/** Lines about troubles kept of one step. */
const KEPT = 10;
const TROUBLE = /^(failed|waits|cancelled|handed over)\b/;

type Troubles = ReadonlyMap<string, readonly LogLine[]>;

const keyOf = ({ stage, key, database }: { stage: number; key: string; database: string | undefined }): string =>
  JSON.stringify([stage, key, database ?? null]);

/** By step: what its log tells of attempts that did not succeed. */
export function troublesOf(lines: readonly LogLine[]): Troubles {
  const troubles = new Map<string, LogLine[]>();
  for (const line of lines) {
    if (!TROUBLE.test(line.text)) continue;
    const key = keyOf({ ...line, key: line.step });
    const known = troubles.get(key);
    if (known) known.push(line);
    else troubles.set(key, [line]);
  }
  return troubles;
}

export function reportedStep(step: LastlyDone, troubles: Troubles): ReportedStep {
  const startedAt = step.attemptTimes[0]?.startedAt ?? step.startedAt ?? null;
  const finishedAt = step.finishedAt ?? null;
  const { lastly } = step;
  return {
    stage: step.stage,
    key: step.key,
    title: step.title,
    state: step.state,
    changed: step.changed ?? null,
    attempts: step.attempts,
    startedAt,
    finishedAt,
    milliseconds: startedAt === null || finishedAt === null ? null : finishedAt - startedAt,
    worker: step.worker ?? null,
    error: step.error ?? null,
    troubles: (troubles.get(keyOf(step)) ?? []).slice(-KEPT).map(({ at, text }) => ({ at, text })),
    again: lastly
      ? {
          within: lastly.within,
          changed: lastly.changed,
          startedAt: lastly.startedAt,
          milliseconds: lastly.finishedAt - lastly.startedAt,
        }
      : null,
  };
}
