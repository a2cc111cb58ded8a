import type { RunView } from '../queue/types.ts';
import { driftStatus } from '../runtime/drift-status.ts';
import type { DriftStatus } from '../runtime/drift-status.ts';
import { readStatus } from '../runtime/status/read-status.ts';
import type { ClusterStatus } from '../runtime/status/types.ts';
import { stepsOf } from './run-facts.ts';
import type { Session } from './session.ts';

/** With hundreds of databases whoever asks for the status shall not wait for a look into each of them. */
const DRIFT_MS = 100;

/**
 * Where every database stands on both sides; a run, as soon as it is read, says which of them to look at closely. `allDrift` looks into every
 * one for drift.
 */
export async function readClusterStatus(
  session: Session,
  view: RunView | undefined | Promise<RunView | undefined>,
  allDrift: boolean,
): Promise<ClusterStatus & DriftStatus> {
  const { clusters } = session.servers;
  const { signal } = new AbortController();
  // It asks nothing of the run, and never throws.
  const drift = driftStatus(clusters, signal, allDrift ? Infinity : DRIFT_MS);
  const run = await view;
  const copying = run ? stepsOf(run).filter((step) => step.queue === 'copy' && step.state === 'active') : [];
  const status = await readStatus(
    clusters,
    signal,
    copying.flatMap((step) => step.database ?? []),
  );
  return { ...status, ...(await drift) };
}
