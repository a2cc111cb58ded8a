import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import { generatedColumns, TableColumns } from '../../postgres/catalog/pglogical.ts';
import type { Database } from '../../postgres/database.ts';
import { id, sql, trustedStatement } from '../../postgres/sql.ts';
import type { Pair, TableName } from '../engine.ts';
import { slotName } from '../names.ts';
import { tableKey, tablesWithout } from '../table-names.ts';
import { REPLICATION_SET } from './names.ts';
import { becomeNode, ceaseToBeNode, hasPglogical } from './nodes.ts';

/** One attempt to get a lock on a table while things are taken back, milliseconds. */
const LOCK_MS = 2_000;

const Table = z.object({ schema: z.string().nullable(), name: z.string().nullable() });

/** Tables of our replication set; undefined where there is no set. */
export async function publishedTables({ source }: Pair): Promise<readonly TableName[] | undefined> {
  if (!(await hasPglogical(source))) return undefined;
  const rows = await source.many(
    Table,
    sql`select n.nspname::text as schema, c.relname::text as name
          from pglogical.replication_set s
          join pglogical.local_node l on l.node_id = s.set_nodeid
          left join pglogical.replication_set_table t on t.set_id = s.set_id
          left join pg_class c on c.oid = t.set_reloid
          left join pg_namespace n on n.oid = c.relnamespace
         where s.set_name = ${REPLICATION_SET}
         order by 1, 2`,
  );
  if (rows.length === 0) return undefined;
  return rows.flatMap(({ schema, name }) => (schema === null || name === null ? [] : [{ schema, name }]));
}

/**
 * Each table in a transaction of its own: pglogical locks it against writers (SHARE ROW EXCLUSIVE), for the trigger by which
 * TRUNCATE travels, and none shall wait for the lock of another one. Where a subscription follows already, it is told to copy the
 * table first. Sequences stay out: pglogical would send them ahead of themselves, and stop at one that goes down.
 */
export async function publish(pair: Pair, tables: readonly TableName[], lockTimeoutMs: number): Promise<void> {
  const { source, sourceCluster, role } = pair;
  await refuseGenerated(source, tables);
  // Nobody connects by the provider's own connection string.
  await becomeNode({ database: source, cluster: sourceCluster }, async () => '');
  const published = await publishedTables(pair);
  if (!published) await source.run(sql`select pglogical.create_replication_set(${REPLICATION_SET}::name)`);
  await letIn(source, role);
  const added = tablesWithout(tables, published ?? []);
  const followed = added.length > 0 && (await isFollowed(pair));
  for (const { schema, name } of added) {
    await source.run(
      sql`select pglogical.replication_set_add_table(${REPLICATION_SET}::name, ${id(schema, name).text}::text::regclass, ${followed})`,
      { lockTimeoutMs },
    );
  }
  for (const table of tablesWithout(published ?? [], tables)) await takeOut(source, table, lockTimeoutMs);
}

/** Whatever was accepted in the configuration: at its first row, pglogical's worker would crash the target again and again. */
export async function refuseGenerated(source: Database, tables?: readonly TableName[]): Promise<void> {
  const wanted = tables && new Set(tables.map(tableKey));
  const found = await source.many(TableColumns, generatedColumns());
  const first = found.find((table) => wanted?.has(tableKey(table)) ?? true);
  if (!first) return;
  throw new PgconvoyError(
    `${source.side}, database "${source.name}": pglogical cannot carry ${id(first.schema, first.name).text}, which has generated columns (${first.columns.map((column) => id(column).text).join(', ')}): its worker would crash the whole target server`,
    { hint: `Set engine: native in the configuration, or leave "${source.name}" out with databases.exclude.` },
  );
}

const Followed = z.object({ yes: z.boolean() });

async function isFollowed({ source }: Pair): Promise<boolean> {
  const { yes } = await source.one(
    Followed,
    sql`select exists (select from pg_replication_slots where slot_name = ${slotName(source.name)}) as yes`,
  );
  return yes;
}

/**
 * The target's workers ask pglogical itself what is in the set. Functions are everybody's, unless somebody has revoked that.
 * @see https://www.postgresql.org/docs/current/sql-grant.html
 */
export async function letIn(source: Database, role: string): Promise<void> {
  const { yes } = await source.one(
    Followed,
    sql`select has_schema_privilege(${role}, 'pglogical', 'usage')
               and not exists (select from pg_class where relnamespace = (select oid from pg_namespace where nspname = 'pglogical') and relkind in ('r', 'v')
                                 and not has_table_privilege(${role}, oid, 'select'))
               and not exists (select from pg_proc where pronamespace = (select oid from pg_namespace where nspname = 'pglogical')
                                 and not has_function_privilege(${role}, oid, 'execute')) as yes`,
  );
  if (yes) return;
  await source.transaction(async () => {
    await source.run(sql`grant usage on schema pglogical to ${id(role)}`);
    await source.run(sql`grant select on all tables in schema pglogical to ${id(role)}`);
    await source.run(sql`grant execute on all functions in schema pglogical to ${id(role)}`);
  });
}

/** Takes back the set, and what else of ours the source's database has as a node. */
export async function unpublish(pair: Pair): Promise<boolean> {
  const { source, sourceCluster, role } = pair;
  const published = await publishedTables(pair);
  for (const table of published ?? []) await takeOut(source, table, LOCK_MS);
  if (published) await source.run(sql`select pglogical.drop_replication_set(${REPLICATION_SET}::name)`);
  if (await hasPglogical(source)) await shutOut(source, role);
  return (await ceaseToBeNode({ database: source, cluster: sourceCluster })) || published !== undefined;
}

const Statement = z.object({ statement: z.string() });

/**
 * pglogical leaves its trigger on a table that is in no set any more. Dropping it takes the strongest lock: one table at a time.
 * @see https://www.postgresql.org/docs/current/sql-droptrigger.html
 */
async function takeOut(source: Database, { schema, name }: TableName, lockTimeoutMs: number): Promise<void> {
  const table = id(schema, name);
  await source.transaction(async () => {
    await source.run(
      sql`select pglogical.replication_set_remove_table(${REPLICATION_SET}::name, ${table.text}::text::regclass)`,
      { lockTimeoutMs },
    );
    const triggers = await source.many(
      Statement,
      sql`select format('drop trigger %I on %s', tgname, tgrelid::regclass) as statement
            from pg_trigger t
           where tgrelid = ${table.text}::text::regclass and tgfoid = 'pglogical.queue_truncate()'::regprocedure
             and not exists (select from pglogical.replication_set_table s where s.set_reloid = t.tgrelid)`,
    );
    for (const { statement } of triggers) await source.run(trustedStatement(statement), { lockTimeoutMs });
  });
}

async function shutOut(source: Database, role: string): Promise<void> {
  const { yes } = await source.one(Followed, sql`select exists (select from pg_roles where rolname = ${role}) as yes`);
  if (!yes) return;
  await source.run(sql`revoke all on all functions in schema pglogical from ${id(role)}`);
  await source.run(sql`revoke all on all tables in schema pglogical from ${id(role)}`);
  await source.run(sql`revoke all on schema pglogical from ${id(role)}`);
}
