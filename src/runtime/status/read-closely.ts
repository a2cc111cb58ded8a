import type { BoundCluster } from '../../postgres/cluster.ts';
import type { Pair, ReplicationEngine } from '../../replication/engine.ts';
import { countTables } from '../../replication/table-counts.ts';
import type { TableCounts } from '../../replication/table-counts.ts';

/** Databases looked into at once. */
const AT_ONCE = 8;

interface Both {
  readonly source: BoundCluster;
  readonly target: BoundCluster;
}

interface Wanted {
  /** Of these: how many tables are in which state. */
  readonly copying: readonly string[];
  /** Of these: whether they are published. */
  readonly waiting: readonly string[];
}

/** What only the databases themselves know: a session for each, so only for those of which it says something. */
export async function readClosely(
  both: Both,
  engine: ReplicationEngine | undefined,
  { copying, waiting }: Wanted,
): Promise<{ readonly tables: Map<string, TableCounts>; readonly published: Map<string, boolean> }> {
  const tables = new Map<string, TableCounts>();
  const published = new Map<string, boolean>();
  if (!engine) return { tables, published };
  const looks = [
    ...copying.map((name) => async (pair: Pair) => {
      tables.set(name, countTables((await engine.subscription(pair)).tables));
    }),
    ...waiting.map((name) => async (pair: Pair) => {
      published.set(name, (await engine.publishedTables(pair)) !== undefined);
    }),
  ];
  const names = [...copying, ...waiting];
  let next = 0;
  const drain = async () => {
    while (next < looks.length) {
      const at = next++;
      const pair = pairOf(both, names[at]!);
      // A database that is fenced or full cannot be asked; what the others say is still worth showing.
      await looks[at]!(pair).catch(() => {});
      await Promise.all([pair.source.close(), pair.target.close()]);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, drain));
  return { tables, published };
}

/** For looking only: nobody is let in anywhere. */
function pairOf({ source, target }: Both, name: string): Pair {
  const nobody = () => Promise.reject(new Error('status connects no server to another'));
  return {
    source: source.database(name),
    target: target.database(name),
    sourceCluster: source,
    targetCluster: target,
    conninfo: nobody,
    targetConninfo: nobody,
    role: '',
  };
}
