import { errorText } from '../errors.ts';
import {
  SlotLag,
  slotLags,
  SubscriptionWorkers,
  subscriptionWorkers,
  TableCounts,
  tableCounts,
} from '../postgres/catalog/replication-lag.ts';
import type { BoundCluster, Side } from '../postgres/cluster.ts';
import { offers } from '../postgres/versions.ts';
import type { EngineName } from '../replication/engine.ts';
import { OURS, subscriptionName } from '../replication/names.ts';
import type { Clusters } from './context.ts';
import { readPglogical } from './pglogical-status.ts';

/** Connections to the target at once, for what only its databases themselves know. */
const AT_ONCE = 8;

/** How the rows of one database travel right now. */
export interface DatabaseReplication {
  readonly database: string;
  /**
   * - `streaming`: the target applies what the source sends
   * - `copying`: it does, and tables are still being copied
   * - `down`: it should, and does not; `reason` says why
   * - `disabled`: it is not started yet, or was stopped
   * - `missing`: there is a slot and no subscription
   */
  readonly state: 'streaming' | 'copying' | 'down' | 'disabled' | 'missing';
  readonly reason?: string;
  /** Of a database that is being copied. */
  readonly tables?: TableCounts;
  /** WAL that the target has not confirmed, bytes. */
  readonly lagBytes?: number;
  readonly lagSeconds?: number;
  /** What the slot makes the source keep. */
  readonly slot?: { readonly active: boolean; readonly walStatus?: string; readonly retainedBytes: number };
}

export interface ReplicationStatus {
  /** By name. Databases without anything of ours are not here. */
  readonly databases: readonly DatabaseReplication[];
  /** Sides that could not be asked, with why; the rest is what the other one knows. */
  readonly unreachable: readonly { readonly side: Side; readonly message: string }[];
}

/**
 * How far the target is, for every database with a slot or subscription of ours: three queries for all of them, and one for each that is in its
 * copy (`inCopy`, and those whose tables are being copied right now). Never throws for a server that is away.
 */
export async function replicationStatus(
  clusters: Pick<Clusters, 'source' | 'target'>,
  signal: AbortSignal,
  inCopy: readonly string[] = [],
): Promise<ReplicationStatus> {
  const binding = { applicationName: 'pgconvoy/status', signal };
  const [source, target] = [clusters.source.bind(binding), clusters.target.bind(binding)];
  try {
    const readingSlots = readSlots(source);
    const [slots, subscriptions] = await Promise.allSettled([
      readingSlots,
      readSubscriptions(target, readingSlots, inCopy),
    ]);
    const found = subscriptions.status === 'fulfilled' ? subscriptions.value : NO_SUBSCRIPTIONS;
    const copying = [...found.native.values()].filter(
      ({ database, copying: now }) => now > 0 || inCopy.includes(database),
    );
    const tables = await readTables(target, copying);
    const lags = slots.status === 'fulfilled' ? slots.value : new Map<string, SlotLag>();
    const names = [...new Set([...lags.keys(), ...found.native.keys(), ...found.pglogical.keys()])].sort();
    const known = { slots: slots.status === 'fulfilled', subscriptions: subscriptions.status === 'fulfilled' };
    return {
      databases: names.map((name) => judge(name, lags.get(name), workersOf(found, name), tables.get(name), known)),
      unreachable: [
        ...(slots.status === 'rejected' ? [{ side: 'source' as const, message: errorText(slots.reason) }] : []),
        ...(subscriptions.status === 'rejected'
          ? [{ side: 'target' as const, message: errorText(subscriptions.reason) }]
          : []),
      ],
    };
  } finally {
    await Promise.all([source.close(), target.close()]);
  }
}

/** By database. A slot of ours has the name that belongs to its database; others only look alike. */
async function readSlots(source: BoundCluster): Promise<Map<string, SlotLag>> {
  const rows = await source.maintenance.many(SlotLag, slotLags(OURS));
  return new Map(rows.filter(isOurs).map((row) => [row.database, row]));
}

interface Workers extends SubscriptionWorkers {
  readonly engine: EngineName;
}

interface Subscriptions {
  readonly native: ReadonlyMap<string, SubscriptionWorkers>;
  readonly pglogical: ReadonlyMap<string, SubscriptionWorkers>;
}
const NO_SUBSCRIPTIONS: Subscriptions = { native: new Map(), pglogical: new Map() };

const workersOf = ({ native, pglogical }: Subscriptions, database: string): Workers | undefined => {
  const workers = native.get(database) ?? pglogical.get(database);
  return workers && { ...workers, engine: native.has(database) ? 'native' : 'pglogical' };
};

/** Of both engines: what is there counts, not what the configuration says now. */
async function readSubscriptions(
  target: BoundCluster,
  readingSlots: Promise<ReadonlyMap<string, SlotLag>>,
  inCopy: readonly string[],
): Promise<Subscriptions> {
  const { major } = await target.facts();
  const rows = await target.maintenance.many(
    SubscriptionWorkers,
    subscriptionWorkers(OURS, offers(major, 'subscriptionStatistics')),
  );
  const slots = await readingSlots.catch(() => new Map<string, SlotLag>());
  return {
    native: new Map(rows.filter(isOurs).map((row) => [row.database, row])),
    pglogical: await readPglogical(target, slots, inCopy),
  };
}

const isOurs = (row: { readonly name: string; readonly database: string }): boolean =>
  row.name === subscriptionName(row.database);

async function readTables(
  target: BoundCluster,
  subscriptions: readonly SubscriptionWorkers[],
): Promise<Map<string, TableCounts>> {
  const counts = new Map<string, TableCounts>();
  const queue = [...subscriptions];
  const drain = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const database = target.database(next.database);
      // A database that is fenced or full cannot be asked; what the others say is still worth showing.
      const row = await database.one(TableCounts, tableCounts(next.name)).catch(() => undefined);
      await database.close();
      if (row) counts.set(next.database, row);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, drain));
  return counts;
}

function judge(
  database: string,
  slot: SlotLag | undefined,
  subscription: Workers | undefined,
  tables: TableCounts | undefined,
  known: { readonly slots: boolean; readonly subscriptions: boolean },
): DatabaseReplication {
  return {
    database,
    ...stateOf(slot, subscription, tables, known),
    ...(tables ? { tables } : {}),
    ...(slot
      ? {
          lagBytes: slot.lagBytes,
          ...(slot.lagSeconds === null ? {} : { lagSeconds: slot.lagSeconds }),
          slot: {
            active: slot.active,
            retainedBytes: slot.retainedBytes,
            ...(slot.walStatus === null ? {} : { walStatus: slot.walStatus }),
          },
        }
      : {}),
  };
}

function stateOf(
  slot: SlotLag | undefined,
  subscription: Workers | undefined,
  tables: TableCounts | undefined,
  known: { readonly slots: boolean; readonly subscriptions: boolean },
): Pick<DatabaseReplication, 'state' | 'reason'> {
  if (!known.subscriptions) {
    return slot?.active
      ? { state: 'streaming' }
      : { state: 'down', reason: 'the target cannot be asked, and does not read the slot' };
  }
  if (!subscription) return { state: 'missing' };
  if (!subscription.enabled) return { state: 'disabled' };
  if (known.slots && !slot) return { state: 'down', reason: 'its slot on the source is gone: only a new copy helps' };
  if (slot?.walStatus === 'lost') {
    return {
      state: 'down',
      reason: 'the source has removed WAL that it needs (max_slot_wal_keep_size): only a new copy helps',
    };
  }
  if (!subscription.applying) return { state: 'down', reason: reasonOf(subscription) };
  const unfinished = tables ? tables.waiting + tables.copying + tables.catchingUp : subscription.copying;
  return { state: unfinished > 0 ? 'copying' : 'streaming' };
}

function reasonOf({ errors, engine }: Workers): string {
  return errors !== null && errors > 0
    ? `its worker on the target fails and is started again (${errors} ${errors === 1 ? 'error' : 'errors'} so far): the target's log says why`
    : `no worker of it runs on the target: it was just started, failed (see the target's log), or ${engine === 'native' ? 'max_logical_replication_workers' : 'max_worker_processes'} is used up`;
}
