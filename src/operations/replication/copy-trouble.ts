import * as z from 'zod';
import type { OperationContext } from '../../engine/operation.ts';
import type { Database } from '../../postgres/database.ts';
import { describeLockHolder, lockHolders } from '../../postgres/locks.ts';
import { id, sql } from '../../postgres/sql.ts';
import type { SubscriptionState, TableName } from '../../replication/engine.ts';
import { tableKey } from '../../replication/table-names.ts';
import { lastWords } from './apply-errors.ts';
import { nonEmptyTables } from './non-empty-tables.ts';
import { pairOf } from './pair.ts';
import { pglogicalTrouble } from './pglogical-trouble.ts';
import { replicatedColumns } from './replicated-columns.ts';

/** Why the copy of some tables does not come on. */
export interface Trouble {
  /** Waiting will not help: a person has to mend it. */
  readonly lasting: boolean;
  readonly message: string;
  readonly hint: string;
}

/**
 * The workers of a subscription tell the reason of their failure to the target's log alone; this looks for the likely ones:
 * privileges, rows that are there already, columns, locks, slots and workers that ran out.
 * @see https://www.postgresql.org/docs/current/logical-replication-architecture.html
 */
export async function copyTrouble(
  context: OperationContext,
  subscription: SubscriptionState,
): Promise<Trouble | undefined> {
  const tables = subscription.tables.filter(({ state }) => state !== 'streaming');
  try {
    return (
      (await roleTrouble(context)) ??
      (await privilegeTrouble(context, tables)) ??
      (await columnTrouble(context, tables)) ??
      (await lockTrouble(context.source, tables, 'AccessShareLock')) ??
      (await lockTrouble(context.target, tables, 'RowExclusiveLock')) ??
      (await leftoverTrouble(context, subscription)) ??
      (await (context.engine.name === 'pglogical'
        ? pglogicalTrouble(context, subscription)
        : capacityTrouble(context, subscription)))
    );
  } catch (error) {
    context.signal.throwIfAborted();
    // Where a server cannot be asked, that is the trouble; it may come back.
    return { lasting: false, message: (error as Error).message, hint: 'See that both servers are up.' };
  }
}

const Role = z.object({ login: z.boolean(), connect: z.boolean() });

async function roleTrouble({ source, settings }: OperationContext): Promise<Trouble | undefined> {
  const { role } = settings.replication;
  const found = await source.maybe(
    Role,
    sql`select rolcanlogin and rolreplication as login, has_database_privilege(oid, current_database(), 'connect') as connect
          from pg_roles where rolname = ${role}`,
  );
  if (found?.login && found.connect) return undefined;
  const what = found ? (found.login ? 'may not connect' : 'lacks LOGIN or REPLICATION') : 'is not there';
  return {
    lasting: true,
    message: `source, database "${source.name}": the replication role "${role}" ${what}`,
    hint: `Run \`pgconvoy setup\`, which puts the role right${found && !found.connect ? `, or on the source: GRANT CONNECT ON DATABASE ${id(source.name).text} TO ${id(role).text};` : ''}. Then retry the step.`,
  };
}

const Unreadable = z.object({ schema: z.string(), name: z.string() });

async function privilegeTrouble(
  { source, settings }: OperationContext,
  tables: readonly TableName[],
): Promise<Trouble | undefined> {
  const { role } = settings.replication;
  const unreadable = await source.many(
    Unreadable,
    sql`select t.schema, t.name
          from unnest(${tables.map((t) => t.schema)}::text[], ${tables.map((t) => t.name)}::text[]) as t (schema, name)
          join pg_namespace n on n.nspname = t.schema
          join pg_class c on c.relnamespace = n.oid and c.relname = t.name
         where not has_table_privilege(${role}, c.oid, 'select') or not has_schema_privilege(${role}, n.oid, 'usage')
         order by 1, 2`,
  );
  const [first] = unreadable;
  if (!first) return undefined;
  return {
    lasting: true,
    message: `source, database "${source.name}": the replication role "${role}" may not read ${named(unreadable)}`,
    hint: `On the source, in that database: GRANT USAGE ON SCHEMA ${id(first.schema).text} TO ${id(role).text}; GRANT SELECT ON ${id(first.schema, first.name).text} TO ${id(role).text}; then retry the step.`,
  };
}

async function columnTrouble(
  { source, target }: OperationContext,
  tables: readonly TableName[],
): Promise<Trouble | undefined> {
  const [there, here] = await Promise.all([replicatedColumns(source, tables), replicatedColumns(target, tables)]);
  for (const [key, table] of there) {
    const lacking = table.columns.filter((column) => !here.get(key)?.columns.includes(column));
    if (lacking.length === 0) continue;
    const names = lacking.map((column) => id(column).text).join(', ');
    return {
      lasting: true,
      message: `target, database "${target.name}": ${named([table])} lacks ${lacking.length === 1 ? 'column' : 'columns'} ${names} of the source`,
      hint: 'The source has been altered since `pgconvoy setup`: make the same change on the target, then retry the step.',
    };
  }
  return undefined;
}

/** pglogical commits all tables at once, a moment before it says so: as long as it copies, rows may be its own. */
async function leftoverTrouble(
  context: OperationContext,
  { tables, running, broken }: SubscriptionState,
): Promise<Trouble | undefined> {
  const { target, engine } = context;
  const begun = tables.some(({ state }) => state !== 'waiting');
  if (engine.name === 'pglogical' && begun && running && !broken) return undefined;
  const isUnfinished = ({ state }: { readonly state: string }) => state === 'waiting' || state === 'copying';
  const found = await nonEmptyTables(target, tables.filter(isUnfinished));
  if (found.length === 0) return undefined;
  // What has been copied meanwhile has its rows rightly.
  const now = await engine.subscription(pairOf(context));
  const still = new Set(now.tables.filter(isUnfinished).map(tableKey));
  const filled = found.filter((table) => still.has(tableKey(table)));
  const [first] = filled;
  if (!first || (engine.name === 'pglogical' && now.tables.some(({ state }) => state !== 'waiting') && !now.broken))
    return undefined;
  return {
    lasting: true,
    message: `target, database "${target.name}": ${named(filled)} held rows before the copy, so that it fails or doubles them`,
    hint: `Somebody writes to the target. Stop that, then on the target, in that database: TRUNCATE ${id(first.schema, first.name).text}; then retry the step.`,
  };
}

async function lockTrouble(
  database: Database,
  tables: readonly TableName[],
  wanted: 'AccessShareLock' | 'RowExclusiveLock',
): Promise<Trouble | undefined> {
  const [holder] = await lockHolders(database, tables, wanted);
  if (!holder) return undefined;
  return {
    lasting: false,
    message: `${database.side}, database "${database.name}": the copy waits for a lock: ${describeLockHolder(holder)}`,
    hint:
      holder.pid === null
        ? `Commit or roll back the prepared transaction on the ${database.side}, then retry the step.`
        : `Let it end, or on the ${database.side}: SELECT pg_terminate_backend(${holder.pid}); then retry the step.`,
  };
}

const Use = z.object({ used: z.number(), most: z.number() });

async function capacityTrouble(
  context: OperationContext,
  subscription: SubscriptionState,
): Promise<Trouble | undefined> {
  const { source, sourceCluster, targetCluster } = context;
  const slots = await sourceCluster.maintenance.one(
    Use,
    sql`select count(*)::int as used, current_setting('max_replication_slots')::int as most from pg_replication_slots`,
  );
  const senders = await sourceCluster.maintenance.one(
    Use,
    sql`select count(*)::int as used, current_setting('max_wal_senders')::int as most from pg_stat_replication`,
  );
  const workers = await targetCluster.maintenance.one(
    Use,
    sql`select count(pid)::int as used, current_setting('max_logical_replication_workers')::int as most from pg_stat_subscription`,
  );
  const full = (side: string, setting: string, use: z.output<typeof Use>): Trouble => ({
    lasting: false,
    message: `database "${source.name}": the ${side} has no room left: all ${use.most} of ${setting} are in use`,
    hint: `Raise ${setting} on the ${side} (needs a restart), or lower budgets.copies; then retry the step.`,
  });
  if (slots.used >= slots.most) return full('source', 'max_replication_slots', slots);
  if (senders.used >= senders.most) return full('source', 'max_wal_senders', senders);
  if (workers.used >= workers.most) return full('target', 'max_logical_replication_workers', workers);
  if (subscription.running) return undefined;
  const { said, unread } = await lastWords(context);
  return {
    lasting: false,
    message: `target, database "${source.name}": the subscription's worker does not stay up${said}`,
    hint: said
      ? 'Mend what it has said, then retry the step.'
      : `The reason is in the target server's log${unread}: look there for \`logical replication\`.`,
  };
}

function named(tables: readonly TableName[]): string {
  const names = tables.slice(0, 5).map(({ schema, name }) => id(schema, name).text);
  return names.join(', ') + (tables.length > 5 ? ` and ${tables.length - 5} more` : '');
}
