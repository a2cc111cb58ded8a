import type { RunView } from '../../queue/types.ts';
import { predictionOf } from '../rehearsal/prediction.ts';
import { outagesOf } from '../run-facts.ts';
import type { ReportedRehearsal } from './report.ts';

/** What a rehearsal before this run has predicted, beside what came; null where it has predicted nothing that came. */
export function rehearsalOf(view: RunView, rehearsal: RunView | undefined): ReportedRehearsal | null {
  const prediction = rehearsal && predictionOf(rehearsal);
  if (!prediction) return null;
  // Together each of them waits for all.
  const together = view.options['together'] === true ? prediction.together.worstMs : undefined;
  const predicted = new Map(
    prediction.databases.map(({ database, milliseconds }) => [database, together ?? milliseconds]),
  );
  const databases = outagesOf(view).flatMap(({ database, milliseconds }) => {
    const predictedMs = predicted.get(database);
    return predictedMs === undefined ? [] : [{ database, predictedMs, outageMs: milliseconds }];
  });
  if (databases.length === 0) return null;
  return { run: rehearsal.id, finishedAt: rehearsal.finishedAt ?? null, databases };
}
