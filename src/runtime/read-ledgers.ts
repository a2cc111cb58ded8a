import { errorText } from '../errors.ts';
import { Opened, openedKey } from '../operations/cutover/opened.ts';
import { ServerState, serverState } from '../postgres/catalog/listed-databases.ts';
import type { Cluster, Side } from '../postgres/cluster.ts';
import { Ledger } from '../postgres/ledger.ts';
import type { Clusters } from './context.ts';
import { engineOf } from './engine.ts';

/** One server as it is now, and how many notes of which kind its ledger holds. */
interface LedgerReading {
  readonly address: string;
  readonly user: string;
  /** Undefined where it cannot be asked. */
  readonly version?: string;
  /** Why it cannot be asked. */
  readonly unreachable?: string;
  /** By kind; never their contents, some of which are secrets. */
  readonly notes: Readonly<Record<string, number>>;
}

export interface Ledgers extends Readonly<Record<Side, LedgerReading>> {
  /** Undefined where the source decides and cannot be asked. */
  readonly engine?: string;
  /** By database: what the target's ledger tells of its opening. */
  readonly opened: ReadonlyMap<string, Opened>;
}

/** What both clusters' ledgers hold now. Never throws for a server that is away. */
export async function readLedgers(clusters: Clusters, signal: AbortSignal): Promise<Ledgers> {
  const [source, target, engine] = await Promise.all([
    readOne(clusters.source, signal),
    readOne(clusters.target, signal),
    engineOf(clusters, signal).catch(() => undefined),
  ]);
  return {
    source: source.reading,
    target: target.reading,
    ...(engine ? { engine: engine.name } : {}),
    opened: target.opened,
  };
}

interface Read {
  readonly reading: LedgerReading;
  readonly opened: ReadonlyMap<string, Opened>;
}

async function readOne(cluster: Cluster, signal: AbortSignal): Promise<Read> {
  const { host, port, user } = cluster.address;
  const place = { address: host.startsWith('/') ? `${host}, port ${port}` : `${host}:${port}`, user };
  const bound = cluster.bind({ applicationName: 'pgconvoy/report', signal });
  try {
    const { version } = await bound.maintenance.one(ServerState, serverState());
    const entries = await new Ledger(bound).entries();
    const notes: Record<string, number> = {};
    for (const { kind } of entries) notes[kind] = (notes[kind] ?? 0) + 1;
    const opened = entries.flatMap(({ kind, database, before }) => {
      const note = kind === openedKey('').kind ? Opened.safeParse(before) : undefined;
      return note?.success ? [[database, note.data] as const] : [];
    });
    return { reading: { ...place, version, notes }, opened: new Map(opened) };
  } catch (error) {
    return { reading: { ...place, unreachable: errorText(error), notes: {} }, opened: new Map() };
  } finally {
    await bound.close();
  }
}
