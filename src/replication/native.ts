import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { DeadlineExceeded, PgconvoyError, UnreachableError } from '../errors.ts';
import { tableBytes } from '../postgres/catalog/tables.ts';
import { WriteTransaction, describeTransaction, writeTransactions } from '../postgres/catalog/transactions.ts';
import { DatabaseError } from '../postgres/errors.ts';
import { inSecrecy } from '../postgres/secrecy.ts';
import { fragment, id, join, lit, sql } from '../postgres/sql.ts';
import { offers } from '../postgres/versions.ts';
import type { Pair, ReplicationEngine, SlotState, SubscriptionState, TableName } from './engine.ts';
import { PUBLICATION, slotName, subscriptionName } from './names.ts';
import { tablesWithout } from './table-names.ts';

/**
 * Publications, slots and subscriptions of PostgreSQL itself, source 10 and later.
 * @see https://www.postgresql.org/docs/current/logical-replication.html
 */
export const nativeEngine: ReplicationEngine = {
  name: 'native',
  identities: { full: true },
  publishedTables,
  publish,
  unpublish,
  slot,
  createSlot,
  dropSlot,
  subscription,
  createSubscription,
  enable: (pair) => alter(pair, 'enable'),
  refresh: (pair) => alter(pair, 'refresh publication'),
  disable: (pair) => alter(pair, 'disable'),
  dropSubscription,
  confirmAtOnce,
  reached,
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
  const { source } = pair;
  const published = await publishedTables(pair);
  const added = tablesWithout(tables, published ?? []);
  const removed = tablesWithout(published ?? [], tables);
  await source.transaction(async () => {
    if (!published) await source.run(sql`create publication ${id(PUBLICATION)}`);
    if (added.length > 0) {
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

const Slot = z.object({ complete: z.boolean(), lost: z.string().nullable(), lagBytes: z.number() });

/** @see https://www.postgresql.org/docs/current/view-pg-replication-slots.html */
async function slot({ source, sourceCluster }: Pair): Promise<SlotState> {
  // Through jsonb, since wal_status (13), conflicting (16) and invalidation_reason (17) came one after the other.
  const row = await sourceCluster.maintenance.maybe(
    Slot,
    sql`select confirmed_flush_lsn is not null as complete,
               coalesce(nullif(to_jsonb(s)->>'invalidation_reason', ''),
                        case when to_jsonb(s)->>'wal_status' = 'lost' then 'wal_removed' end) as lost,
               coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), 0)::float8 as "lagBytes"
          from pg_replication_slots s
         where slot_name = ${slotName(source.name)}`,
  );
  return { exists: row?.complete ?? false, lost: row?.lost ?? undefined, lagBytes: row?.lagBytes ?? 0 };
}

/** @see https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-REPLICATION */
async function createSlot(pair: Pair, timeoutMs: number): Promise<void> {
  const { source } = pair;
  const name = slotName(source.name);
  if ((await slot(pair)).exists) return;
  // A session of a worker that was killed may still be at it; it would hold the name until it is through.
  await dropSlot(pair);
  try {
    await source.run(sql`select pg_create_logical_replication_slot(${name}, 'pgoutput')`, {
      statementTimeoutMs: timeoutMs,
    });
  } catch (error) {
    if (!(error instanceof DatabaseError && error.sqlstate === '57014')) throw error;
    throw await blockedSlot(pair, timeoutMs, error);
  }
}

/** A new slot waits for every transaction that has written, in whichever database of the cluster. */
async function blockedSlot({ source }: Pair, timeoutMs: number, cause: unknown): Promise<DeadlineExceeded> {
  const blockers = await source.many(WriteTransaction, writeTransactions());
  const named = blockers.slice(0, 5).map(describeTransaction).join('; ');
  const remedy = blockers
    .slice(0, 5)
    .map(({ pid, gid }) =>
      pid === null ? `ROLLBACK PREPARED ${lit(gid ?? '').text};` : `SELECT pg_terminate_backend(${pid});`,
    )
    .join(' ');
  return new DeadlineExceeded(
    `source, database "${source.name}": the replication slot could not be created within ${timeoutMs} ms, because ` +
      `write transactions have been running all the time: ${named === '' ? 'they have just ended' : named}`,
    {
      hint:
        blockers.length === 0
          ? 'Retry the step.'
          : `Let them end, or end them on the source: ${remedy} Then retry the step.`,
      disposition: 'wait',
      cause,
    },
  );
}

const HeldSlot = z.object({ name: z.string() });

/** Drops our slot, and what table copies that died have left behind (since 14 these have slots that stay). */
async function dropSlot({ source, sourceCluster, targetCluster }: Pair): Promise<boolean> {
  const database = sourceCluster.maintenance;
  const orphans = await orphanedCopySlots({ source, sourceCluster, targetCluster });
  const names = [slotName(source.name), ...orphans];
  for (let attempt = 1; ; attempt++) {
    const slots = await database.many(
      HeldSlot,
      sql`select slot_name as name, case when active_pid is not null then pg_terminate_backend(active_pid) end
            from pg_replication_slots
           where slot_name = any (${names}::text[])`,
    );
    if (slots.length === 0) return attempt > 1;
    try {
      for (const { name } of slots) {
        await database.run(
          sql`select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = ${name}`,
        );
      }
    } catch (error) {
      // The walsender we have just ended needs a moment to leave the slot, and may be gone with it.
      if (!(error instanceof DatabaseError && ['55006', '42704'].includes(error.sqlstate) && attempt < 100))
        throw error;
      await sleep(Math.min(20 * attempt, 200));
    }
  }
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
}: Omit<Pair, 'target' | 'conninfo'>): Promise<string[]> {
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

const Subscription = z.object({
  enabled: z.boolean(),
  running: z.boolean(),
  confirmsAtOnce: z.boolean(),
  errors: z.number().nullable(),
});
const NONE: SubscriptionState = {
  exists: false,
  enabled: false,
  running: false,
  confirmsAtOnce: false,
  errors: undefined,
  tables: [],
};
const SubscribedTable = z.object({
  schema: z.string(),
  name: z.string(),
  state: z.enum(['i', 'd', 'f', 's', 'r']).transform((state) => STATES[state]),
  bytes: z.number(),
  rows: z.number(),
});

/** @see https://www.postgresql.org/docs/current/catalog-pg-subscription-rel.html */
async function subscription({ target, targetCluster }: Pair): Promise<SubscriptionState> {
  const name = subscriptionName(target.name);
  const { major } = await targetCluster.facts();
  const errors = offers(major, 'subscriptionStatistics')
    ? sql`(select (apply_error_count + sync_error_count)::float8 from pg_stat_subscription_stats where subid = s.oid)`
    : sql`null::float8`;
  // pg_subscription is shared: seen from the maintenance database even where the target has no such database yet.
  const found = await targetCluster.maintenance.maybe(
    Subscription,
    sql`select subenabled as enabled,
               exists (select from pg_stat_subscription w where w.subid = s.oid and w.relid is null and w.pid is not null) as running,
               subsynccommit = 'on' as "confirmsAtOnce",
               ${errors} as errors
          from pg_subscription s
         where subname = ${name}`,
  );
  if (!found) return NONE;
  const rows = offers(major, 'progressOfCopy')
    ? sql`coalesce((select max(tuples_processed) from pg_stat_progress_copy p where p.relid = c.oid and p.datname = current_database()), 0)`
    : sql`0`;
  const tables = await target.many(
    SubscribedTable,
    sql`select n.nspname as schema, c.relname as name, r.srsubstate::text as state,
               case when r.srsubstate = 'd' then ${tableBytes()} else 0 end as bytes,
               (case when r.srsubstate = 'd' then ${rows} else 0 end)::float8 as rows
          from pg_subscription s
          join pg_subscription_rel r on r.srsubid = s.oid
          join pg_class c on c.oid = r.srrelid
          join pg_namespace n on n.oid = c.relnamespace
         where s.subname = ${name}
         order by 1, 2`,
  );
  return { ...found, exists: true, errors: found.errors ?? undefined, tables };
}

/** @see https://www.postgresql.org/docs/current/sql-createsubscription.html */
async function createSubscription(pair: Pair): Promise<void> {
  const { target, sourceCluster, targetCluster } = pair;
  const name = subscriptionName(target.name);
  const majors = await Promise.all([sourceCluster.facts(), targetCluster.facts()]);
  const oldest = Math.min(...majors.map(({ major }) => major));
  const options: Record<string, string> = {
    // The slot is a step of its own: one that is left over, or that has to wait, is then seen and named.
    create_slot: 'false',
    slot_name: name,
    enabled: 'false',
    copy_data: 'true',
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
    throw explained(error, target.name, conninfo);
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

/** Whatever of a connection string must not be repeated: all of it, and the password as written and as meant. */
function secretsOf(conninfo: string): string[] {
  const written = /password\s*=\s*'((?:[^'\\]|\\.)*)'/.exec(conninfo)?.[1] ?? '';
  return [conninfo, written, written.replaceAll(/\\(.)/g, '$1')];
}

function explained(error: unknown, database: string, conninfo: string): unknown {
  if (!(error instanceof DatabaseError)) return error;
  if (/permission denied for database/.test(error.message)) {
    const role = /\buser\s*=\s*'((?:[^'\\]|\\.)*)'/.exec(conninfo)?.[1] ?? '';
    return new PgconvoyError(`The replication role "${role}" may not connect to the source: ${error.message}`, {
      hint: `On the source: GRANT CONNECT ON DATABASE ${id(database).text} TO ${id(role).text}; then retry the step.`,
    });
  }
  if (!error.sqlstate.startsWith('08') && !/could not connect to the publisher/.test(error.message)) return error;
  return new UnreachableError(`The target server cannot reach the source: ${error.message}`, {
    hint: `See source.fromTarget in the configuration, and that the source's pg_hba.conf lets the replication role into database "${database}" from the target's address.`,
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
  const { yes } = await targetCluster.maintenance.one(
    Yes,
    sql`select exists (select from pg_subscription where subname = ${name}) as yes`,
  );
  if (!yes) return false;
  // Without a slot's name DROP SUBSCRIPTION does not depend on the source; the slot is dropSlot's.
  await target.run(sql`alter subscription ${id(name)} disable`);
  await target.run(sql`alter subscription ${id(name)} set (slot_name = none)`);
  await target.run(sql`drop subscription ${id(name)}`);
  return true;
}

async function confirmAtOnce({ target }: Pair): Promise<void> {
  await target.run(sql`alter subscription ${id(subscriptionName(target.name))} set (synchronous_commit = 'on')`);
}

async function reached({ source }: Pair, lsn: string): Promise<boolean> {
  const row = await source.maybe(
    Yes,
    sql`select confirmed_flush_lsn >= ${lsn}::pg_lsn as yes from pg_replication_slots where slot_name = ${slotName(source.name)}`,
  );
  return row?.yes ?? false;
}
