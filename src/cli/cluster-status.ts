import type { RunView } from '../queue/types.ts';
import { readStatus } from '../runtime/status/read-status.ts';
import type { ClusterStatus } from '../runtime/status/types.ts';
import { stepsOf } from './run-facts.ts';
import type { Session } from './session.ts';

/** Where every database stands on both sides; a run says which of them to look at closely. */
export async function readClusterStatus(session: Session, view: RunView | undefined): Promise<ClusterStatus> {
  const copying = view ? stepsOf(view).filter((step) => step.queue === 'copy' && step.state === 'active') : [];
  const names = copying.flatMap((step) => step.database ?? []);
  return readStatus(session.servers.clusters, new AbortController().signal, names);
}
