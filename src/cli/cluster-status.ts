import type { RunView } from '../queue/types.ts';
import { driftStatus } from '../runtime/drift-status.ts';
import type { DriftStatus } from '../runtime/drift-status.ts';
import { readStatus } from '../runtime/status/read-status.ts';
import type { ClusterStatus } from '../runtime/status/types.ts';
import { stepsOf } from './run-facts.ts';
import type { Session } from './session.ts';

/** With hundreds of databases whoever asks for the status shall not wait for a look into each of them. */
const DRIFT_MS = 250;

/** Where every database stands on both sides; a run says which of them to look at closely. `allDrift` looks into every one for drift. */
export async function readClusterStatus(
  session: Session,
  view: RunView | undefined,
  allDrift: boolean,
): Promise<ClusterStatus & DriftStatus> {
  const copying = view ? stepsOf(view).filter((step) => step.queue === 'copy' && step.state === 'active') : [];
  const names = copying.flatMap((step) => step.database ?? []);
  const { clusters } = session.servers;
  const { signal } = new AbortController();
  const budgetMs = allDrift ? Infinity : DRIFT_MS;
  const [status, drift] = await Promise.all([
    readStatus(clusters, signal, names),
    driftStatus(clusters, signal, budgetMs),
  ]);
  return { ...status, ...drift };
}
