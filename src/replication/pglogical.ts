import * as z from 'zod';
import { walMarker } from '../postgres/catalog/fence.ts';
import type { Database } from '../postgres/database.ts';
import { sql } from '../postgres/sql.ts';
import type { Sql } from '../postgres/sql.ts';
import type { ReplicationEngine, Waiting } from './engine.ts';
import { slotName } from './names.ts';
import { beginAt, beginsAt } from './origins.ts';
import { overview } from './pglogical/overview.ts';
import { replicateDdl } from './pglogical/ddl.ts';
import { publish, publishedTables, unpublish } from './pglogical/provider.ts';
import {
  createSubscription,
  disable,
  dropSubscription,
  enable,
  refresh,
  subscription,
  wake,
} from './pglogical/subscriber.ts';
import { createSlot, createSlotWithSnapshot, dropSlots, unconfirmed, slot } from './slots.ts';

const PLUGIN = 'pglogical_output';

/** The origin has the name of the slot, as the subscription has. */
const pglogicalOrigins = (subscriptions: readonly string[]): Sql =>
  sql`select s as subscription, s as name from unnest(${subscriptions}::text[]) s`;

/**
 * The pglogical extension, source 9.4 and later. Never its functions that wait: they know no end, and one of them crashes the server when
 * its subscription goes.
 */
export const pglogicalEngine: ReplicationEngine = {
  name: 'pglogical',
  identities: { full: false },
  outputPlugin: PLUGIN,
  logsInToTarget: true,
  publishedTables,
  publish,
  unpublish,
  slot,
  createSlot: (pair, timeoutMs) => createSlot(pair, PLUGIN, timeoutMs),
  createSlotWithSnapshot: (pair, timeoutMs) => createSlotWithSnapshot(pair, PLUGIN, timeoutMs),
  dropSlot: async ({ source, sourceCluster }) =>
    dropSlots(sourceCluster.maintenance, await slotsOf(sourceCluster.maintenance, source.name)),
  subscription,
  overview,
  createSubscription,
  enable,
  beginAt: (targetCluster, positions) => beginAt(targetCluster, positions, pglogicalOrigins),
  beginsAt: (targetCluster, positions) => beginsAt(targetCluster, positions, pglogicalOrigins),
  refresh,
  disable,
  wake,
  dropSubscription,
  replicateDdl,
  // How it commits is a setting of the whole server, read at its start: `reached` has it flushed.
  confirmAtOnce: async () => {},
  reached: async (pair, lsn) => (await unreached([{ pair, lsn }])).length === 0,
  unreached,
};

/**
 * pglogical commits without waiting for the disk, and then looks once in a second what has got there. A commit of ours on the target
 * flushes what came before it, and one on the source gives its workers something to answer: in whichever database of theirs.
 */
async function unreached(all: readonly Waiting[]): Promise<readonly string[]> {
  const late = await unconfirmed(all);
  const waits = all.filter(({ pair }) => late.includes(pair.source.name));
  const [first] = waits;
  if (!first) return [];
  await first.pair.targetCluster.maintenance.run(walMarker());
  await first.pair.sourceCluster.maintenance.run(walMarker());
  return unconfirmed(waits);
}

const SlotName = z.object({ name: z.string() });

/** The subscription's slot, and those of tables that were copied later: its name and eight digits more. */
async function slotsOf(maintenance: Database, database: string): Promise<string[]> {
  const slots = await maintenance.many(
    SlotName,
    sql`select slot_name::text as name from pg_replication_slots
         where database = ${database} and slot_name ~ ${`^${slotName(database)}(_[0-9a-f]{8})?$`}`,
  );
  return slots.map(({ name }) => name);
}
