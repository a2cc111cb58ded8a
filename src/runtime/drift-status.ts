import { acceptFindings } from '../engine/finding.ts';
import type { Finding } from '../engine/finding.ts';
import { createLogger } from '../log.ts';
import { openedDatabases } from '../operations/cutover/opened.ts';
import { lookForDrift } from '../operations/drift/look.ts';
import { schemaKey } from '../operations/schema/schema-state.ts';
import { Ledger } from '../postgres/ledger.ts';
import { openContext } from './context.ts';
import type { Clusters } from './context.ts';
import { engineOf } from './engine.ts';

/** Databases looked at side by side. */
const AT_ONCE = 8;

export interface DriftStatus {
  readonly drift: readonly Finding[];
  /** Databases for which there was no time. */
  readonly driftUnread: number;
}

/**
 * What source and target no longer have alike, in every database whose schema was copied and that is not open on the target. A database
 * costs a session on each side: after `budgetMs` no further one is begun. Never throws for a server that is away.
 */
export async function driftStatus(clusters: Clusters, signal: AbortSignal, budgetMs: number): Promise<DriftStatus> {
  const deadline = Date.now() + budgetMs;
  try {
    const queue = await copiedDatabases(clusters, signal);
    const engine = await engineOf(clusters, signal);
    const found: Finding[] = [];
    const drain = async () => {
      while (queue.length > 0 && Date.now() < deadline) {
        const database = queue.shift();
        const { context, close } = openContext(clusters, {
          applicationName: 'pgconvoy/status',
          engine,
          database,
          input: {},
          run: { id: 'status', databases: [], options: {} },
          signal,
          log: createLogger('silent'),
          progress: () => {},
        });
        // A database that cannot be asked is told elsewhere; what the others say is still worth showing.
        const { findings } = await lookForDrift(context, true).catch(() => ({ findings: [] }));
        found.push(...findings);
        await close();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, drain));
    const sorted = found.toSorted((one, other) => (one.database ?? '').localeCompare(other.database ?? ''));
    return { drift: acceptFindings(sorted, clusters.settings.accept), driftUnread: queue.length };
  } catch {
    return { drift: [], driftUnread: 0 };
  }
}

async function copiedDatabases({ target }: Clusters, signal: AbortSignal): Promise<string[]> {
  const bound = target.bind({ applicationName: 'pgconvoy/status', signal });
  try {
    const ledger = new Ledger(bound);
    const copied = await ledger.entries(schemaKey('').kind);
    const opened = await openedDatabases(ledger, bound);
    return copied.map(({ database }) => database).filter((database) => !opened.has(database));
  } finally {
    await bound.close();
  }
}
