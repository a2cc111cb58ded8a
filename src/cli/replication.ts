import type { RunView } from '../queue/types.ts';
import { replicationStatus } from '../runtime/replication-status.ts';
import type { ReplicationStatus } from '../runtime/replication-status.ts';
import { stepsOf } from './run-facts.ts';
import type { Session } from './session.ts';

/** How far the target is, database by database; a run says which of them to look at closely. */
export async function readReplication(session: Session, view: RunView | undefined): Promise<ReplicationStatus> {
  const copying = view ? stepsOf(view).filter((step) => step.queue === 'copy' && step.state === 'active') : [];
  const names = copying.flatMap((step) => step.database ?? []);
  return replicationStatus(session.servers.clusters, new AbortController().signal, names);
}
