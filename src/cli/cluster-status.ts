import type { Finding } from '../engine/finding.ts';
import type { RunView } from '../queue/types.ts';
import { driftStatus } from '../runtime/drift-status.ts';
import { readStatus } from '../runtime/status/read-status.ts';
import type { ClusterStatus } from '../runtime/status/types.ts';
import { stepsOf } from './run-facts.ts';
import type { Session } from './session.ts';

export interface StatusWithDrift extends ClusterStatus {
  /** What the two sides no longer have alike. */
  readonly drift: readonly Finding[];
}

/** Where every database stands on both sides; a run says which of them to look at closely. */
export async function readClusterStatus(session: Session, view: RunView | undefined): Promise<StatusWithDrift> {
  const copying = view ? stepsOf(view).filter((step) => step.queue === 'copy' && step.state === 'active') : [];
  const names = copying.flatMap((step) => step.database ?? []);
  const { clusters } = session.servers;
  const { signal } = new AbortController();
  const [status, drift] = await Promise.all([readStatus(clusters, signal, names), driftStatus(clusters, signal)]);
  return { ...status, drift };
}
