import { acceptFindings } from '../engine/finding.ts';
import type { Finding } from '../engine/finding.ts';
import { createLogger } from '../log.ts';
import { openedKey } from '../operations/cutover/opened.ts';
import { lookForDrift } from '../operations/drift/look.ts';
import { schemaKey } from '../operations/schema/schema-state.ts';
import { Ledger } from '../postgres/ledger.ts';
import { openContext } from './context.ts';
import type { Clusters } from './context.ts';
import { engineOf } from './engine.ts';

/** Databases looked at side by side. */
const AT_ONCE = 8;

/**
 * What source and target no longer have alike, in every database whose schema was copied and that is not open on the target. Of a database
 * in which nothing was done it costs two short queries. Never throws for a server that is away.
 */
export async function driftStatus(clusters: Clusters, signal: AbortSignal): Promise<readonly Finding[]> {
  try {
    const queue = await copiedDatabases(clusters, signal);
    const engine = await engineOf(clusters, signal);
    const found: Finding[] = [];
    const drain = async () => {
      for (let database = queue.shift(); database !== undefined; database = queue.shift()) {
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
    return acceptFindings(sorted, clusters.settings.accept);
  } catch {
    return [];
  }
}

async function copiedDatabases({ target }: Clusters, signal: AbortSignal): Promise<string[]> {
  const bound = target.bind({ applicationName: 'pgconvoy/status', signal });
  try {
    const ledger = new Ledger(bound);
    const [copied, opened] = [await ledger.entries(schemaKey('').kind), await ledger.entries(openedKey('').kind)];
    const done = new Set(opened.map(({ database }) => database));
    return copied.map(({ database }) => database).filter((database) => !done.has(database));
  } finally {
    await bound.close();
  }
}
