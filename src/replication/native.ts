import * as z from 'zod';
import { PgconvoyError, UnreachableError } from '../errors.ts';
import { SubscriptionWorkers, subscriptionWorkers } from '../postgres/catalog/replication-lag.ts';
import { tableBytes } from '../postgres/catalog/tables.ts';
import type { BoundCluster } from '../postgres/cluster.ts';
import type { Database } from '../postgres/database.ts';
import { DatabaseError } from '../postgres/errors.ts';
import { inSecrecy } from '../postgres/secrecy.ts';
import { fragment, id, join, lit, since, sql } from '../postgres/sql.ts';
import type { Sql } from '../postgres/sql.ts';
import { offers } from '../postgres/versions.ts';
import type { Pair, ReplicationEngine, SubscriptionOverview, SubscriptionState, TableName } from './engine.ts';
import { OURS, PUBLICATION, slotName, subscriptionName } from './names.ts';
import { beginAt, beginsAt } from './origins.ts';
import { secretsOf } from './secrets.ts';
import { createSlot, createSlotWithSnapshot, dropSlots, unconfirmed, slot } from './slots.ts';
import { tableKey, tablesWithout } from './table-names.ts';

const PLUGIN = 'pgoutput';

/** The origin that a subscription keeps its position in is named by its number. */
const nativeOrigins = (subscriptions: readonly string[]): Sql =>
  sql`select subname::text as subscription, 'pg_' || oid::text as name from pg_subscription where subname = any (${subscriptions}::text[])`;

/**
 * Publications, slots and subscriptions of PostgreSQL itself, source 10 and later.
 * @see https://www.postgresql.org/docs/current/logical-replication.html
 */
export const nativeEngine: ReplicationEngine = {
  name: 'native',
  identities: { full: true },
  outputPlugin: PLUGIN,
  logsInToTarget: false,
  publishedTables,
  publish,
  unpublish,
  slot,
  createSlot: (pair, timeoutMs) => createSlot(pair, PLUGIN, timeoutMs),
  createSlotWithSnapshot: (pair, timeoutMs) => createSlotWithSnapshot(pair, PLUGIN, timeoutMs),
  dropSlot,
  subscription,
  overview,
  createSubscription,
  enable: (pair) => alter(pair, 'enable'),
  beginAt: (targetCluster, positions) => beginAt(targetCluster, positions, nativeOrigins),
  beginsAt: (targetCluster, positions) => beginsAt(targetCluster, positions, nativeOrigins),
  refresh: (pair) => alter(pair, 'refresh publication'),
  disable: (pair) => alter(pair, 'disable'),
  dropSubscription,
  confirmAtOnce,
  reached: async (pair, lsn) => (await unconfirmed([{ pair, lsn }])).length === 0,
  unreached: unconfirmed,
};

const Yes = z.object({ yes: z.boolean() });
const PublishedTable = z.object({ schema: z.string().nullable(), name: z.string().nullable() });

async function publishedTables({ source }: Pair): Promise<readonly TableName[] | undefined> {
  const rows = await source.many(
    PublishedTable,
    sql`select n.nspname as schema, c.relname as name
          from pg_publication p
          left join pg_publication_rel r on r.prpubid = p.oid
          left join pg_class c on c.oid = r.prrelid
          left join pg_namespace n on n.oid = c.relnamespace
         where p.pubname = ${PUBLICATION}
         order by 1, 2`,
  );
  if (rows.length === 0) return undefined;
  return rows.flatMap(({ schema, name }) => (schema === null || name === null ? [] : [{ schema, name }]));
}

/** @see https://www.postgresql.org/docs/current/sql-createpublication.html */
async function publish(pair: Pair, tables: readonly TableName[], lockTimeoutMs: number): Promise<void> {
  const { source, targetCluster } = pair;
  const published = await publishedTables(pair);
  // Workers of 10 know no TRUNCATE, and end at one for ever.
  const without = offers((await targetCluster.facts()).major, 'publishTruncate')
    ? fragment``
    : fragment` with (publish = 'insert, update, delete')`;
  const added = tablesWithout(tables, published ?? []);
  const removed = tablesWithout(published ?? [], tables);
  await source.transaction(async () => {
    if (!published) await source.run(sql`create publication ${id(PUBLICATION)}${without}`);
    if (added.length > 0) {
      // The slot may be there already: a transaction that has written to such a table and goes on would be decoded as if it were not
      // published. So those that write to it end first, and the next ones begin after it is published.
      if (published) await source.run(sql`lock table ${list(added)} in share row exclusive mode`, { lockTimeoutMs });
      await source.run(sql`alter publication ${id(PUBLICATION)} add table ${list(added)}`, { lockTimeoutMs });
    }
    if (removed.length > 0) {
      await source.run(sql`alter publication ${id(PUBLICATION)} drop table ${list(removed)}`, { lockTimeoutMs });
    }
  });
}

/** ONLY: a table that others inherit from publishes its own rows; those of its children are listed themselves. */
const list = (tables: readonly TableName[]) =>
  join(tables.map((table) => fragment`only ${id(table.schema, table.name)}`));

async function unpublish(pair: Pair): Promise<boolean> {
  if (!(await publishedTables(pair))) return false;
  await pair.source.run(sql`drop publication if exists ${id(PUBLICATION)}`);
  return true;
}

/** Drops our slot, and what table copies that died have left behind (since 14 these have slots that stay). */
async function dropSlot(pair: Pair): Promise<boolean> {
  return dropSlots(pair.sourceCluster.maintenance, [slotName(pair.source.name), ...(await orphanedCopySlots(pair))]);
}

const CopySlot = z.object({ name: z.string(), subscription: z.string() });
const SubscriptionOid = z.object({ oid: z.string() });

/**
 * Slots of table copies are named pg_SUBSCRIPTION_sync_TABLE_SYSTEM: those in our database, made by our target, for a
 * subscription that is no more.
 */
async function orphanedCopySlots({
  source,
  sourceCluster,
  targetCluster,
}: Pick<Pair, 'source' | 'sourceCluster' | 'targetCluster'>): Promise<string[]> {
  const slots = await sourceCluster.maintenance.many(
    CopySlot,
    sql`select slot_name as name, substring(slot_name from '^pg_([0-9]+)_sync_') as subscription
          from pg_replication_slots
         where database = ${source.name} and slot_name ~ '^pg_[0-9]+_sync_[0-9]+_[0-9]+$'`,
  );
  if (slots.length === 0) return [];
  const { systemIdentifier } = await targetCluster.facts();
  const living = await targetCluster.maintenance.many(SubscriptionOid, sql`select oid::text from pg_subscription`);
  const oids = new Set(living.map(({ oid }) => oid));
  return slots
    .filter(({ name, subscription: oid }) => name.endsWith(`_${systemIdentifier}`) && !oids.has(oid))
    .map(({ name }) => name);
}

const STATES = {
  i: 'waiting',
  d: 'copying',
  f: 'catching-up',
  s: 'catching-up',
  r: 'streaming',
} as const;

const SubscribedTable = z.object({
  schema: z.string(),
  name: z.string(),
  state: z.enum(['i', 'd', 'f', 's', 'r']).transform((state) => STATES[state]),
});
const Subscription = z.object({
  enabled: z.boolean(),
  running: z.boolean(),
  confirmsAtOnce: z.boolean(),
  errors: z.number().nullable(),
  tables: z.array(SubscribedTable),
});
const NONE: SubscriptionState = {
  exists: false,
  enabled: false,
  running: false,
  confirmsAtOnce: false,
  errors: undefined,
  tables: [],
};
const Arrived = z.object({ schema: z.string(), name: z.string(), bytes: z.number(), rows: z.number() });
const NOTHING = { bytes: 0, rows: 0 };

const errorCount = since(
  'subscriptionStatistics',
  fragment`(select (apply_error_count + sync_error_count)::float8 from pg_stat_subscription_stats where subid = s.oid)`,
  fragment`null::float8`,
);

/** Databases of jobs in which our subscription was seen: what comes next of it is asked in there, at once with its tables. */
const subscribed = new WeakSet<Database>();

/** @see https://www.postgresql.org/docs/current/catalog-pg-subscription-rel.html */
async function subscription({ target, targetCluster }: Pair): Promise<SubscriptionState> {
  const name = subscriptionName(target.name);
  if (!subscribed.has(target)) {
    // pg_subscription is shared: seen from the maintenance database even where the target has no such database yet.
    if (!(await isSubscribed(targetCluster, name))) return NONE;
    subscribed.add(target);
  }
  const found = await target.maybe(
    Subscription,
    sql`select subenabled as enabled,
               exists (select from pg_stat_subscription w where w.subid = s.oid and w.relid is null and w.pid is not null) as running,
               subsynccommit = 'on' as "confirmsAtOnce",
               ${errorCount} as errors,
               (select coalesce(json_agg(t order by t.schema, t.name), '[]')
                  from (select n.nspname as schema, c.relname as name, r.srsubstate::text as state
                          from pg_subscription_rel r
                          join pg_class c on c.oid = r.srrelid
                          join pg_namespace n on n.oid = c.relnamespace
                         where r.srsubid = s.oid) t) as tables
          from pg_subscription s
         where subname = ${name}`.kept(),
  );
  if (!found) return NONE;
  const { tables, errors, ...state } = found;
  const arrived = tables.some(({ state: at }) => at === 'copying') ? await arrivedRows(target, name) : undefined;
  return {
    ...state,
    exists: true,
    errors: errors ?? undefined,
    tables: tables.map((table) => ({ ...table, ...(arrived?.get(tableKey(table)) ?? NOTHING) })),
  };
}

async function isSubscribed({ maintenance }: BoundCluster, name: string): Promise<boolean> {
  const { yes } = await maintenance.one(
    Yes,
    sql`select exists (select from pg_subscription where subname = ${name}) as yes`,
  );
  return yes;
}

const rowsOfCopy = since(
  'progressOfCopy',
  fragment`coalesce((select max(tuples_processed) from pg_stat_progress_copy p where p.relid = c.oid and p.datname = current_database()), 0)`,
  fragment`0`,
);

/** What has come of the tables that are being copied; asked only then, since it costs several times as much as their states. */
async function arrivedRows(
  target: Database,
  name: string,
): Promise<ReadonlyMap<string, { readonly bytes: number; readonly rows: number }>> {
  const arrived = await target.many(
    Arrived,
    sql`select n.nspname as schema, c.relname as name, ${tableBytes()} as bytes, (${rowsOfCopy})::float8 as rows
          from pg_subscription s
          join pg_subscription_rel r on r.srsubid = s.oid
          join pg_class c on c.oid = r.srrelid
          join pg_namespace n on n.oid = c.relnamespace
         where s.subname = ${name} and r.srsubstate = 'd'`,
  );
  return new Map(
    arrived.map(({ schema, name: table, bytes, rows: count }) => [
      tableKey({ schema, name: table }),
      { bytes, rows: count },
    ]),
  );
}

/** pg_subscription is shared: one session sees those of all databases. */
async function overview(targetCluster: BoundCluster): Promise<readonly SubscriptionOverview[]> {
  const rows = await targetCluster.maintenance.many(SubscriptionWorkers, subscriptionWorkers(OURS));
  return rows
    .filter(({ name, database }) => name === subscriptionName(database))
    .map(({ database, enabled, applying, copying, errors }) => ({
      database,
      enabled,
      applying,
      copying,
      ...(errors ? { errors } : {}),
    }));
}

/** @see https://www.postgresql.org/docs/current/sql-createsubscription.html */
async function createSubscription(pair: Pair, { copy }: { readonly copy: boolean }): Promise<void> {
  const { target, sourceCluster, targetCluster } = pair;
  const name = subscriptionName(target.name);
  const majors = await Promise.all([sourceCluster.facts(), targetCluster.facts()]);
  const oldest = Math.min(...majors.map(({ major }) => major));
  const options: Record<string, string> = {
    // The slot is a step of its own: one that is left over, or that has to wait, is then seen and named.
    create_slot: 'false',
    slot_name: name,
    enabled: 'false',
    copy_data: String(copy),
    synchronous_commit: 'off',
  };
  if (offers(oldest, 'parallelApply')) options['streaming'] = 'parallel';
  else if (offers(oldest, 'subscriptionStreaming')) options['streaming'] = 'on';
  if (await mustApplyAsOwner(pair)) options['run_as_owner'] = 'true';
  const conninfo = await pair.conninfo();
  try {
    await inSecrecy(target, secretsOf(conninfo), () =>
      target.run(
        sql`create subscription ${id(name)} connection ${lit(conninfo)} publication ${id(PUBLICATION)}
            with (${join(Object.entries(options).map(([option, value]) => fragment`${id(option)} = ${lit(value)}`))})`,
      ),
    );
  } catch (error) {
    throw explained(error, pair, conninfo);
  }
}

/**
 * Since 16 rows are applied as the owner of their table, which policies that are forced upon owners stop. Only then does the
 * owner of the subscription apply them.
 * @see https://www.postgresql.org/docs/current/logical-replication-security.html
 */
async function mustApplyAsOwner({ target, targetCluster }: Pair): Promise<boolean> {
  if (!offers((await targetCluster.facts()).major, 'createSubscriptionRole')) return false;
  const { yes } = await target.one(
    Yes,
    // Not whether it is enabled: pg_restore does that after the data.
    sql`select exists (select from pg_class where relforcerowsecurity) as yes`,
  );
  return yes;
}

function explained(error: unknown, { source, target }: Pair, conninfo: string): unknown {
  if (!(error instanceof DatabaseError)) return error;
  if (/permission denied for database/.test(error.message)) {
    const role = /\buser\s*=\s*'((?:[^'\\]|\\.)*)'/.exec(conninfo)?.[1] ?? '';
    return new PgconvoyError(`The replication role "${role}" may not connect to the ${source.side}: ${error.message}`, {
      hint: `On the ${source.side}: GRANT CONNECT ON DATABASE ${id(target.name).text} TO ${id(role).text}; then retry the step.`,
    });
  }
  if (!error.sqlstate.startsWith('08') && !/could not connect to the publisher/.test(error.message)) return error;
  return new UnreachableError(`The ${target.side} server cannot reach the ${source.side}: ${error.message}`, {
    hint: `See ${source.side === 'source' ? 'source.fromTarget' : 'target.fromSource'} in the configuration, and that pg_hba.conf of the ${source.side} lets the replication role into database "${target.name}" from the address of the ${target.side}.`,
    disposition: error.disposition,
  });
}

async function alter({ target }: Pair, what: 'enable' | 'disable' | 'refresh publication'): Promise<void> {
  const name = id(subscriptionName(target.name));
  if (what === 'enable') await target.run(sql`alter subscription ${name} enable`);
  else if (what === 'disable') await target.run(sql`alter subscription ${name} disable`);
  else await target.run(sql`alter subscription ${name} refresh publication`);
}

async function dropSubscription({ target, targetCluster }: Pair): Promise<boolean> {
  const name = subscriptionName(target.name);
  if (!(await isSubscribed(targetCluster, name))) return false;
  // The database may go next.
  subscribed.delete(target);
  // Without a slot's name DROP SUBSCRIPTION does not depend on the source; the slot is dropSlot's.
  await target.run(sql`alter subscription ${id(name)} disable`);
  await target.run(sql`alter subscription ${id(name)} set (slot_name = none)`);
  await target.run(sql`drop subscription ${id(name)}`);
  return true;
}

async function confirmAtOnce({ target }: Pair): Promise<void> {
  await target.run(sql`alter subscription ${id(subscriptionName(target.name))} set (synchronous_commit = 'on')`);
}
