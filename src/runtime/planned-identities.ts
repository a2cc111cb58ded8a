import type { BoundCluster } from '../postgres/cluster.ts';
import type { ReplicationEngine } from '../replication/engine.ts';
import { costOf } from '../operations/tables/identity-cost.ts';
import type { ChoiceKind } from '../operations/tables/identity-cost.ts';
import { keyRules } from '../operations/tables/identity-remedy.ts';
import { identitiesOf, plainName, rulesFor } from '../operations/tables/identity.ts';
import type { TableToIdentify } from '../operations/tables/identity.ts';
import { engineOf } from './engine.ts';
import type { Clusters } from './context.ts';

/** Databases looked at at once. */
const AT_ONCE = 8;

/** What fix is about to do to one table. */
export interface PlannedIdentity {
  readonly database: string;
  /** `schema.name`, unquoted, as fix.tables writes it. */
  readonly table: string;
  readonly choice: ChoiceKind;
  /** With the choice `index`. */
  readonly index?: string;
  readonly why: string;
  readonly cost: string;
  readonly rewrites: boolean;
  /** Of the table without its indexes. */
  readonly bytes: number;
  /** Estimated by the last ANALYZE. */
  readonly rows: number;
  readonly walBytes: number;
}

export interface PlannedIdentities {
  readonly tables: readonly PlannedIdentity[];
  /** The lines of the configuration by which the tables that need a decision get a key column; undefined where there is none. */
  readonly rules?: string;
  /** Rules of the configuration that mean no table of these databases, as they are written there. */
  readonly unused: readonly string[];
}

/**
 * What fix would do to each table that lacks a replica identity, with why and at what cost. Changes nothing.
 * @throws UnreachableError, DatabaseError
 */
export async function plannedIdentities(
  clusters: Clusters,
  databases: readonly { readonly name: string }[],
  signal: AbortSignal,
): Promise<PlannedIdentities> {
  const engine = await engineOf(clusters, signal);
  const source = clusters.source.bind({ applicationName: 'pgconvoy/plan', signal });
  const queue = [...databases];
  const found: Looked[] = [];
  const drain = async () => {
    for (let next = queue.shift(); next; next = queue.shift())
      found.push(await lookAt(source, clusters, engine, next.name));
  };
  try {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, databases.length) }, drain));
  } finally {
    await source.close();
  }
  const order = new Map(databases.map(({ name }, index) => [name, index]));
  const ordered = found.toSorted((one, other) => order.get(one.database)! - order.get(other.database)!);
  const undecided = ordered.flatMap(({ undecided: tables }) => tables);
  const used = new Set(found.flatMap(({ used: rules }) => rules));
  return {
    tables: ordered.flatMap(({ tables }) => tables),
    ...(undecided.length > 0 ? { rules: keyRules(undecided) } : {}),
    unused: clusters.settings.fix.tables
      .filter((rule) => !used.has(rule))
      .map((rule) => `{ database: ${rule.database}, table: ${rule.table} }`),
  };
}

interface Looked {
  readonly database: string;
  readonly tables: readonly PlannedIdentity[];
  readonly undecided: readonly { readonly database: string; readonly schema: string; readonly name: string }[];
  /** Rules that mean at least one table here, by identity. */
  readonly used: readonly unknown[];
}

async function lookAt(
  source: BoundCluster,
  clusters: Clusters,
  engine: ReplicationEngine,
  name: string,
): Promise<Looked> {
  const database = source.database(name);
  const { settings } = clusters;
  try {
    const { tables, lacking } = await identitiesOf({ source: database, settings, engine });
    const { major } = await source.facts();
    const names = tables.map(plainName);
    return {
      database: name,
      tables: lacking.map((item) => planned(name, item, major)),
      undecided: lacking.flatMap(({ table, choice }) =>
        choice.by === 'nothing' && choice.key ? [{ database: name, schema: table.schema, name: table.name }] : [],
      ),
      used: rulesFor(settings.fix, name).flatMap(({ rule, fits }) => (names.some(fits) ? [rule] : [])),
    };
  } finally {
    await database.close();
  }
}

function planned(database: string, item: TableToIdentify, major: number): PlannedIdentity {
  const { table, choice } = item;
  const { kind, ...cost } = costOf(item, major);
  return {
    database,
    table: plainName(table),
    choice: kind,
    ...(choice.by === 'index' ? { index: choice.index } : {}),
    ...cost,
    bytes: table.bytes,
    rows: table.rows,
  };
}
