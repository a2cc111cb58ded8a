import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import { tableBytes } from '../../postgres/catalog/tables.ts';
import type { Database } from '../../postgres/database.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import { inSecrecy } from '../../postgres/secrecy.ts';
import { sql } from '../../postgres/sql.ts';
import type { Sql } from '../../postgres/sql.ts';
import { offers } from '../../postgres/versions.ts';
import type { Pair, SubscriptionState, TableName, TableState } from '../engine.ts';
import { slotName, subscriptionName } from '../names.ts';
import { secretsOf } from '../secrets.ts';
import { copySession, REPLICATION_SET } from './names.ts';
import { becomeNode, ceaseToBeNode, hasPglogical } from './nodes.ts';
import { letIn, publishedTables } from './provider.ts';
import { endQuietLog, quietLog } from './quiet-log.ts';
import { subscribeError } from './subscribe-error.ts';

/** Times after enabling at which workers that are still not there are woken once more, milliseconds. */
const WAKE_MS = [700, 2_000, 4_500];
const WORKER_MS = 6_000;
/** How long a worker may take to end once it was told to, milliseconds. */
const END_MS = 15_000;
/** Longer than pglogical tries to reach the source, to drop the slot there. */
const DROP_MS = 60_000;
const LOOK_MS = 25;

const NONE: SubscriptionState = {
  exists: false,
  enabled: false,
  running: false,
  confirmsAtOnce: true,
  errors: undefined,
  tables: [],
};

/** Steps of a copy from which pglogical does not go on once it was interrupted. */
const UNREPEATABLE = ['s', 'd', 'c'];

const Subscription = z.object({
  enabled: z.boolean(),
  running: z.boolean(),
  /** i: not begun, s and c: structure and constraints (never ours), d: rows, r: ready. */
  step: z.string(),
});
type Subscription = z.output<typeof Subscription>;

/** The connection string that pglogical shows too is left where it is. */
const subscriptionRow = (name: string): Sql => sql`
  select s.sub_enabled as enabled, w.status in ('initializing', 'replicating') as running, y.sync_status::text as step
    from pglogical.subscription s
    join pglogical.local_sync_status y on y.sync_subid = s.sub_id and y.sync_relname is null
   cross join lateral pglogical.show_subscription_status(s.sub_name) w
   where s.sub_name = ${name}`;

async function found(target: Database): Promise<Subscription | undefined> {
  if (!(await isThere(target))) return undefined;
  return target.maybe(Subscription, subscriptionRow(subscriptionName(target.name)));
}

/** The target may not have the database yet, or no longer, or not for anybody. */
async function isThere(target: Database): Promise<boolean> {
  try {
    return await hasPglogical(target);
  } catch (error) {
    if (error instanceof DatabaseError && ['3D000', '55000'].includes(error.sqlstate)) return false;
    throw error;
  }
}

const Unfinished = z.object({ count: z.number() });

/** What a status shows of the subscription without asking the source: `unfinished` counts tables that do not stream yet, where known. */
export async function subscriptionBrief(
  target: Database,
): Promise<{ readonly enabled: boolean; readonly running: boolean; readonly unfinished: number } | undefined> {
  const row = await found(target);
  if (!row) return undefined;
  const { count } = await target.one(
    Unfinished,
    sql`select count(*)::int as count
          from pglogical.local_sync_status y join pglogical.subscription s on s.sub_id = y.sync_subid
         where s.sub_name = ${subscriptionName(target.name)} and y.sync_status <> 'r'`,
  );
  return { enabled: row.enabled, running: row.running, unfinished: count };
}

export async function subscription(pair: Pair): Promise<SubscriptionState> {
  const row = await found(pair.target);
  if (!row) return NONE;
  const tables = row.step === 'r' ? await readyTables(pair.target) : await copiedTables(pair, row);
  const broken = UNREPEATABLE.includes(row.step) && !row.running;
  return { ...NONE, exists: true, enabled: row.enabled, running: row.running, broken, tables };
}

const State = z.enum(['waiting', 'copying', 'catching-up', 'streaming']);
const Table = z.object({ schema: z.string(), name: z.string(), state: State, bytes: z.number(), rows: z.number() });

/** Tables that were subscribed to, each with its own state: those that came later are copied one by one. */
function readyTables(target: Database): Promise<TableState[]> {
  return target.many(
    Table,
    sql`select t.sync_nspname::text as schema, t.sync_relname::text as name,
               case when t.sync_status = 'i' then 'waiting' when t.sync_status in ('s', 'd', 'c') then 'copying'
                    when t.sync_status = 'r' then 'streaming' else 'catching-up' end as state,
               case when t.sync_status = 'd' then ${tableBytes()} else 0 end as bytes, 0 as rows
          from pglogical.local_sync_status t
          join pglogical.subscription s on s.sub_id = t.sync_subid
          join pg_namespace n on n.nspname = t.sync_nspname
          join pg_class c on c.relnamespace = n.oid and c.relname = t.sync_relname
         where s.sub_name = ${subscriptionName(target.name)}
         order by 1, 2`,
  );
}

/**
 * pglogical copies all tables one after the other in a single transaction, and names them when that is through. Until then its
 * session tells: the tables it has locked are copied, but for the one that its statement names.
 * @see https://www.postgresql.org/docs/current/progress-reporting.html#COPY-PROGRESS-REPORTING
 */
async function copiedTables(pair: Pair, { step }: Subscription): Promise<TableState[]> {
  const { target, targetCluster } = pair;
  const tables = (await publishedTables(pair)) ?? [];
  if (step === 'i') return tables.map((table) => ({ ...table, state: 'waiting', bytes: 0, rows: 0 }));
  const { major } = await targetCluster.facts();
  const rows = offers(major, 'progressOfCopy')
    ? sql`coalesce((select max(tuples_processed) from pg_stat_progress_copy p where p.pid = c.pid and p.relid = c.oid), 0)`
    : sql`0`;
  return target.many(
    Table,
    sql`with copy as (
          select pid, query from pg_stat_activity
           where datname = current_database() and application_name = ${copySession(subscriptionName(target.name))}),
        touched as (
          select l.relation, copy.pid, copy.query from copy join pg_locks l on l.pid = copy.pid
           where l.locktype = 'relation' and l.mode = 'RowExclusiveLock'
             and l.database = (select oid from pg_database where datname = current_database())),
        known as (
          select t.schema, t.name, c.oid, c.relpages, copy.pid,
                 case when ${step} not in ('s', 'd') then 'catching-up' when copy.pid is null then 'waiting'
                      when left(copy.query, length(h.head)) = h.head then 'copying' else 'catching-up' end as state
            from unnest(${tables.map((t) => t.schema)}::text[], ${tables.map((t) => t.name)}::text[]) as t (schema, name)
            join pg_namespace n on n.nspname = t.schema
            join pg_class c on c.relnamespace = n.oid and c.relname = t.name
           cross join lateral (
             select 'COPY "' || replace(t.schema, '"', '""') || '"."' || replace(t.name, '"', '""') || '" ' as head) h
            left join touched copy on copy.relation = c.oid)
        select c.schema, c.name, c.state, case when c.state = 'copying' then ${tableBytes()} else 0 end as bytes,
               (case when c.state = 'copying' then ${rows} else 0 end)::float8 as rows
          from known c
         order by 1, 2`,
  );
}

/**
 * Our names instead of those that pglogical makes up: the slot's is then found without it, and no drop_node of others takes it along.
 * Whether it copies or the rows are there already, it begins at the slot that is there. In one transaction, so no worker sees it half done.
 */
export async function createSubscription(pair: Pair, { copy }: { readonly copy: boolean }): Promise<void> {
  const { source, target, targetCluster, role } = pair;
  const name = subscriptionName(target.name);
  const [theirs, ours] = await Promise.all([pair.conninfo(), pair.targetConninfo()]);
  const published = (await publishedTables(pair)) ?? [];
  await letIn(source, role);
  await becomeNode({ database: target, cluster: targetCluster }, async () => ours);
  await quietLog(pair);
  try {
    await inSecrecy(target, [...secretsOf(theirs), ...secretsOf(ours)], async () => {
      await target.run(
        sql`select pglogical.create_subscription(${name}::name, ${theirs}, ${[REPLICATION_SET]}::text[], false, ${copy}, '{}')`,
      );
      await target.run(sql`select pglogical.alter_subscription_disable(${name}::name, false)`);
      await target.run(
        sql`update pglogical.subscription set sub_slot_name = ${slotName(target.name)} where sub_name = ${name}`,
      );
      if (!copy) await markCopied(target, name, published);
    });
  } catch (error) {
    throw subscribeError(error, { database: target.name, role });
  }
}

/** @see https://www.postgresql.org/docs/current/replication-origins.html */
async function markCopied(target: Database, name: string, tables: readonly TableName[]): Promise<void> {
  await target.run(
    sql`update pglogical.local_sync_status set sync_status = 'r'
         where sync_subid = (select sub_id from pglogical.subscription where sub_name = ${name})`,
  );
  await target.run(
    sql`insert into pglogical.local_sync_status (sync_kind, sync_subid, sync_nspname, sync_relname, sync_status, sync_statuslsn)
        select 'f', s.sub_id, t.schema, t.name, 'r', '0/0'
          from pglogical.subscription s,
               unnest(${tables.map((t) => t.schema)}::text[], ${tables.map((t) => t.name)}::text[]) as t (schema, name)
         where s.sub_name = ${name}`,
  );
  // One of an earlier copy would begin where that had ended.
  await target.run(dropOrigin(target));
  await target.run(sql`select pg_replication_origin_create(${slotName(target.name)})`);
}

const dropOrigin = (target: Database): Sql =>
  sql`select pg_replication_origin_drop(roname) from pg_replication_origin where roname = ${slotName(target.name)}`;

/** Starts its workers, which sometimes do not hear of it: a subscription made while pglogical looks around would stay down for minutes. */
export async function enable(pair: Pair): Promise<void> {
  const { target } = pair;
  const name = subscriptionName(target.name);
  await target.run(sql`select pglogical.alter_subscription_enable(${name}::name, true)`);
  await untilRunning(target, name, WAKE_MS);
}

async function untilRunning(target: Database, name: string, wakeAt: readonly number[]): Promise<void> {
  const started = Date.now();
  const times = [...wakeAt];
  for (;;) {
    const row = await found(target);
    const waited = Date.now() - started;
    // One that fails comes and goes: who waits for the copy looks for the cause.
    if (!row || row.running || waited > WORKER_MS) return;
    if (waited > (times[0] ?? Infinity)) {
      times.shift();
      await nudge(target, name);
    }
    await sleep(LOOK_MS);
  }
}

/** A copy that was broken off has left nothing behind, and begins again. */
export async function wake({ target }: Pair): Promise<void> {
  const name = subscriptionName(target.name);
  await target.run(
    sql`update pglogical.local_sync_status set sync_status = 'i'
         where sync_subid = (select sub_id from pglogical.subscription where sub_name = ${name})
           and sync_relname is null and sync_status::text = any (${UNREPEATABLE}::text[])`,
  );
  await untilRunning(target, name, [0, ...WAKE_MS]);
}

async function nudge(target: Database, name: string): Promise<void> {
  await target.run(sql`select pglogical.alter_subscription_disable(${name}::name, true)`);
  await target.run(sql`select pglogical.alter_subscription_enable(${name}::name, true)`);
}

/** Its worker has ended, when this returns: nothing is written any more. */
export async function disable({ target }: Pair): Promise<void> {
  await target.run(sql`select pglogical.alter_subscription_disable(${subscriptionName(target.name)}::name, true)`);
  await untilEnded(target);
}

async function untilEnded(target: Database): Promise<void> {
  const started = Date.now();
  while ((await found(target))?.running) {
    if (Date.now() - started > END_MS) {
      throw new PgconvoyError(
        `target, database "${target.name}": pglogical's worker has not ended ${END_MS} ms after it was told to`,
        { hint: 'It probably waits for a lock; end who holds it, or wait. Then retry the step.', disposition: 'retry' },
      );
    }
    await sleep(LOOK_MS);
  }
}

/** Tables of the set that the subscription does not know yet are copied; those that left it are forgotten. */
export async function refresh({ target }: Pair): Promise<void> {
  await target.run(sql`select pglogical.alter_subscription_synchronize(${subscriptionName(target.name)}::name, false)`);
}

/** A copy that runs would go on, deaf, with drop_subscription waiting for it: so its session is ended first. */
export async function dropSubscription(pair: Pair): Promise<boolean> {
  const { target, targetCluster } = pair;
  const name = subscriptionName(target.name);
  if (!(await isThere(target))) return endQuietLog(pair);
  const row = await found(target);
  if (row) {
    await target.run(sql`select pglogical.alter_subscription_disable(${name}::name, true)`);
    await target.run(
      sql`select pg_terminate_backend(pid) from pg_stat_activity
           where datname = current_database() and application_name = ${copySession(name)}`,
    );
    // pglogical itself would look for its end only once in a second.
    await untilEnded(target);
    await target.transaction(async () => {
      // It would drop the slot of that name on the source; ours is dropSlot's.
      await target.run(
        sql`update pglogical.subscription set sub_slot_name = ${`${name}_gone`} where sub_name = ${name}`,
      );
      await target.run(sql`select pglogical.drop_subscription(${name}::name)`, { statementTimeoutMs: DROP_MS });
      await target.run(dropOrigin(target));
    });
  }
  await endQuietLog(pair);
  const changed = await ceaseToBeNode({ database: target, cluster: targetCluster });
  return row !== undefined || changed;
}
