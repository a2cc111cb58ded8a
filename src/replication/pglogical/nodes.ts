import * as z from 'zod';
import type { BoundCluster } from '../../postgres/cluster.ts';
import type { Database } from '../../postgres/database.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import { Ledger } from '../../postgres/ledger.ts';
import { inSecrecy } from '../../postgres/secrecy.ts';
import { id, lit, sql } from '../../postgres/sql.ts';
import { offers } from '../../postgres/versions.ts';
import { subscriptionName } from '../names.ts';
import { secretsOf } from '../secrets.ts';
import { nodeName, OUR_NODES, REPLICATION_SET } from './names.ts';

/** Both clusters and one database, on the side that is meant. */
export interface End {
  readonly database: Database;
  readonly cluster: BoundCluster;
}

/** The extension that stands in for pg_replication_origin on 9.4. */
const ORIGIN = 'pglogical_origin';
const EXTENSION = 'pglogical';

const KIND = 'extension';

const Found = z.object({ found: z.boolean() });

/** Whether the database has the extension; where not, none of its tables can be asked. */
export async function hasPglogical(database: Database): Promise<boolean> {
  const { found } = await database.one(
    Found,
    sql`select exists (select from pg_extension where extname = ${EXTENSION}) as found`,
  );
  return found;
}

const Node = z.object({ name: z.string() });
const LocalNode = Node.extend({ isOurs: z.boolean(), conninfo: z.string() });

/** The node that this database is; it can be only one, whoever made it. Never a password that is somebody else's. */
const localNode = (database: Database) =>
  database.maybe(
    LocalNode,
    sql`select n.node_name::text as name, n.node_name like ${OUR_NODES} as "isOurs",
               case when i.if_dsn = '' then '' else 'known' end as conninfo
          from pglogical.local_node l join pglogical.node n on n.node_id = l.node_id
          join pglogical.node_interface i on i.if_id = l.node_local_interface`,
  );

const reachItself = (database: Database, text: string): Promise<unknown> =>
  database.run(
    sql`update pglogical.node_interface set if_dsn = ${text}
         where if_id = (select node_local_interface from pglogical.local_node) and if_dsn = ''`,
  );

/** The node of somebody else that this database is. */
export async function foreignNodeOf(database: Database): Promise<string | undefined> {
  if (!(await hasPglogical(database))) return undefined;
  const node = await localNode(database);
  return node?.name.startsWith('pgconvoy_') ? undefined : node?.name;
}

/**
 * The database is a node afterwards: with the extension and a node of ours, or by what is there already. The connection string
 * is the one by which its own server reaches it.
 */
export async function becomeNode(end: End, conninfo: () => Promise<string>): Promise<void> {
  const { database } = end;
  if (!(await hasPglogical(database))) await createExtensions(end);
  const known = await localNode(database);
  const text = known?.isOurs === false ? '' : await conninfo();
  if (known) {
    // It was made to be read from, and nobody connected to it by that: who subscribes does.
    if (text !== '' && known.conninfo === '')
      await inSecrecy(database, secretsOf(text), () => reachItself(database, text));
    return;
  }
  const name = nodeName(database.side, database.name);
  await inSecrecy(database, secretsOf(text), () =>
    database.run(sql`select pglogical.create_node(${name}::name, ${text})`),
  );
}

const There = z.object({ extension: z.boolean(), schema: z.boolean() });
/** Whether the schema in which the extension puts its objects was there before; it makes one, and does not take it along. */
const Before = z.object({ schema: z.boolean() });

/** @see https://www.postgresql.org/docs/current/sql-createextension.html */
async function createExtensions({ database, cluster }: End): Promise<void> {
  const ledger = new Ledger(cluster);
  const { major } = await cluster.facts();
  for (const name of offers(major, 'replicationOrigins') ? [EXTENSION] : [ORIGIN, EXTENSION]) {
    const there = await database.one(
      There,
      sql`select exists (select from pg_extension where extname = ${name}) as extension,
                 exists (select from pg_namespace where nspname = ${name}) as schema`,
    );
    if (there.extension) continue;
    await ledger.record({ kind: KIND, database: database.name, object: name }, { schema: there.schema });
    await database.run(sql`create extension if not exists ${id(name)}`);
  }
  // Sessions that have known an extension before remember the OIDs of its tables, which are others now.
  await database.renew();
}

const Others = z.object({ nodes: z.number(), readers: z.number() });

/**
 * Takes away our node and, if we have made it, the extension; both only as long as nobody else uses them. Says whether there was anything.
 * drop_node drops every slot that reads from the database, so a node that somebody has subscribed to stays.
 */
export async function ceaseToBeNode({ database, cluster }: End): Promise<boolean> {
  const ledger = new Ledger(cluster);
  if (!(await hasPglogical(database))) return forgetExtensions(ledger, database.name);
  if (await servesUs(database)) return false;
  const ours = await database.many(
    Node,
    sql`select node_name::text as name from pglogical.node where node_name like ${OUR_NODES}`,
  );
  const { readers } = await othersOf(database);
  const dropped = readers === 0 ? ours : [];
  for (const { name } of dropped) await database.run(sql`select pglogical.drop_node(${name}::name)`);
  const made = await ledger.entries(KIND, database.name);
  const { nodes } = await othersOf(database);
  if (nodes > 0) await forgetExtensions(ledger, database.name);
  else {
    // pglogical itself first: the other one serves it.
    for (const { object, before } of made.toSorted((one, other) => one.object.length - other.object.length)) {
      await database.run(sql`drop extension if exists ${id(object)}`);
      if (!Before.parse(before).schema) await dropEmptySchema(database, object);
      await ledger.forget({ kind: KIND, database: database.name, object });
    }
  }
  return dropped.length > 0 || made.length > 0;
}

/** Rows travel to it or from it, in the other direction than the one that is taken back. */
async function servesUs(database: Database): Promise<boolean> {
  const { found } = await database.one(
    Found,
    sql`select exists (select from pglogical.subscription where sub_name = ${subscriptionName(database.name)})
               or exists (select from pglogical.replication_set s join pglogical.local_node l on l.node_id = s.set_nodeid
                           where s.set_name = ${REPLICATION_SET}) as found`,
  );
  return found;
}

/** What somebody has put in there stays, and so does the schema. */
async function dropEmptySchema(database: Database, name: string): Promise<void> {
  try {
    await database.run(sql`drop schema if exists ${id(name)}`);
  } catch (error) {
    if (!(error instanceof DatabaseError && error.sqlstate === '2BP01')) throw error;
  }
}

/** What is made there by now is in somebody else's use. */
async function forgetExtensions(ledger: Ledger, database: string): Promise<boolean> {
  const made = await ledger.entries(KIND, database);
  for (const { object } of made) await ledger.forget({ kind: KIND, database, object });
  return made.length > 0;
}

/** Nodes that are there, whoever made them, and slots of subscriptions that are not ours. */
const othersOf = (database: Database) =>
  database.one(
    Others,
    sql`select (select count(*) from pglogical.node)::int as nodes,
               (select count(*) from pg_replication_slots
                 where database = current_database() and plugin::text in ('pglogical_output', 'pglogical')
                   and slot_name::text ~ ${lit('^pgl_')})::int as readers`,
  );
