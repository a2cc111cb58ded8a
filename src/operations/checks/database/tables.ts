import type { OperationContext } from '../../../engine/operation.ts';
import type { ForeignServer, IndexOfTable, TypedColumn } from '../../../postgres/catalog/contents.ts';
import { SURROGATE_COLUMN } from '../../../postgres/catalog/surrogate-keys.ts';
import type { UserTable } from '../../../postgres/catalog/tables.ts';
import { id } from '../../../postgres/sql.ts';
import { offers } from '../../../postgres/versions.ts';
import type { ReplicationEngine } from '../../../replication/engine.ts';
import { keyRules, remedyFor } from '../../tables/identity-remedy.ts';
import { identitiesOf } from '../../tables/identity.ts';
import type { TableToIdentify } from '../../tables/identity.ts';
import { isAsked } from '../concern.ts';
import type { Concern } from '../concern.ts';
import type { CheckFinding } from '../findings.ts';
import { answerTo } from './answers.ts';

const qualified = ({ schema, name }: UserTable): string => id(schema, name).text;

/** UPDATE and DELETE can be replicated for every table, or will be once `fix` has run where that follows. */
export const replicaIdentity = (fixFollows: boolean): Concern => ({
  name: 'replica identities',
  side: 'source',
  async look(context) {
    const { source, engine } = context;
    const { tables, lacking } = await identitiesOf(context, undefined, await answerTo(context, 'tables'));
    const mended = new Map(
      lacking.flatMap(({ table, choice }) => (fixFollows && isMended(choice) ? [[table.oid, choice.by]] : [])),
    );
    return [
      ...judgeIdentities(
        source.name,
        lacking.filter(({ table }) => !mended.has(table.oid)),
        engine,
      ),
      ...judgeSlowIdentities(
        source.name,
        tables.map((table) => (mended.get(table.oid) === 'full' ? { ...table, identity: 'f' } : table)),
      ),
    ];
  },
});

const isMended = ({ by }: TableToIdentify['choice']): boolean => by !== 'nothing' && by !== 'skip';

export const judgeIdentities = (
  database: string,
  lacking: readonly TableToIdentify[],
  engine: Pick<ReplicationEngine, 'name' | 'identities'>,
): CheckFinding[] =>
  lacking.map(({ table, choice, incomparable }) => {
    const name = qualified(table);
    const place = { severity: 'block', side: 'source', database, object: `${table.schema}.${table.name}` } as const;
    const remedy = remedyOf(name, table, choice, database);
    if (table.identity === 'f' && incomparable.length > 0) {
      return {
        ...place,
        code: 'identity-without-equality',
        message: `Table ${name} in database "${database}" has REPLICA IDENTITY FULL and columns whose type knows no equality (${incomparable.join(', ')}): the target cannot find its rows, so the first UPDATE or DELETE stops replication.`,
        remedy,
      };
    }
    const why = choice.by === 'nothing' ? `, and pgconvoy fix has nothing to choose: ${choice.why}` : '';
    return {
      ...place,
      code: 'no-replica-identity',
      message:
        table.identity === 'f' && !engine.identities.full
          ? `Table ${name} in database "${database}" has REPLICA IDENTITY FULL, which the engine ${engine.name} cannot use: updates and deletes would not be replicated${why}.`
          : `Table ${name} in database "${database}" has no replica identity: UPDATE and DELETE fail as soon as it is published${why}.`,
      remedy,
    };
  });

const LARGE_BYTES = 256 * 1024 * 1024;

export const judgeSlowIdentities = (database: string, tables: readonly UserTable[]): CheckFinding[] =>
  tables
    .filter((table) => table.identity === 'f' && table.bytes > LARGE_BYTES)
    .map((table) => ({
      code: 'slow-identity',
      severity: 'warning',
      side: 'source',
      database,
      object: `${table.schema}.${table.name}`,
      message: `Table ${qualified(table)} in database "${database}" has ${Math.round(table.bytes / 1024 / 1024)} MB and REPLICA IDENTITY FULL: for each UPDATE and DELETE the target reads the table to find the row (from 16 on it uses an index, if there is one).`,
      remedy: `If it is often updated: ALTER TABLE ${qualified(table)} ADD PRIMARY KEY (…); then REPLICA IDENTITY DEFAULT. Or have pgconvoy fix add a key column (pgconvoy plan fix says what it costs):\n${keyRules([{ database, schema: table.schema, name: table.name }])}`,
    }));

function remedyOf(name: string, table: UserTable, choice: TableToIdentify['choice'], database: string): string {
  switch (choice.by) {
    case 'index':
      return `pgconvoy fix: it runs ALTER TABLE ${name} REPLICA IDENTITY USING INDEX ${id(choice.index).text};`;
    case 'full':
      return `pgconvoy fix: it runs ALTER TABLE ${name} REPLICA IDENTITY FULL; better, if it is large and often updated: add a primary key.`;
    case 'surrogate-key':
      return `pgconvoy fix: it adds the key column ${id(SURROGATE_COLUMN).text}, as the configuration asks; pgconvoy plan fix says what that costs.`;
    case 'skip':
      return `The configuration leaves it to you (skip): ALTER TABLE ${name} ADD PRIMARY KEY (…); or leave "${database}" out with databases.exclude.`;
    case 'nothing':
      return remedyFor(database, table, choice);
    default:
      return choice satisfies never;
  }
}

export const judgeForeignServers = (database: string, servers: readonly ForeignServer[]): CheckFinding[] =>
  servers.map(({ name, wrapper, place, tables, mappings }) => ({
    code: 'foreign-server',
    severity: 'warning',
    side: 'source',
    database,
    object: name,
    message: `Foreign server "${name}" (${wrapper}${place && `, ${place}`}) in database "${database}" (foreign tables: ${tables}, user mappings: ${mappings}): definitions and mappings are carried, the data stays there.`,
    remedy: `See that the target's machine reaches it, and that it does not lead to the old cluster: ALTER SERVER ${id(name).text} OPTIONS (SET host '…');`,
  }));

/** Nothing in the tables is older than the target understands, or in a state that the copy would change silently. */
export const tableStates: Concern = {
  name: 'state of tables',
  side: 'source',
  async look(context) {
    const { source } = context;
    return [
      ...(await removedFeatures(context)),
      ...judgeInvalidIndexes(source.name, await answerTo(context, 'invalidIndexes')),
      ...judgeNotValid(source.name, await answerTo(context, 'notValidConstraints')),
    ];
  },
};

async function removedFeatures(context: OperationContext): Promise<CheckFinding[]> {
  const { source, sourceCluster, targetCluster, run } = context;
  if (offers((await sourceCluster.facts()).major, 'noOids')) return [];
  // A target that is not asked is taken for a new one.
  if (isAsked('target', run.options) && !offers((await targetCluster.facts()).major, 'noOids')) return [];
  return [
    ...judgeOids(source.name, await answerTo(context, 'tablesWithOids')),
    ...judgeRemovedTypes(source.name, await answerTo(context, 'columnsOfRemovedTypes')),
  ];
}

export const judgeOids = (database: string, tables: readonly { readonly name: string }[]): CheckFinding[] =>
  tables.map(({ name }) => ({
    code: 'table-with-oids',
    severity: 'block',
    side: 'source',
    database,
    object: name,
    message: `Table ${name} in database "${database}" is WITH OIDS, which the target does not know; its oid column would be lost.`,
    remedy: `ALTER TABLE ${name} SET WITHOUT OIDS; (rewrites it under an exclusive lock). If the oid is used, add a column of its own for it first.`,
  }));

export const judgeRemovedTypes = (database: string, columns: readonly TypedColumn[]): CheckFinding[] =>
  columns.map(({ table, column, type }) => {
    const better = type.endsWith('reltime') ? 'interval' : type.endsWith('abstime') ? 'timestamptz' : 'tstzrange';
    const wanted = type.startsWith('_') ? `${better}[]` : better;
    return {
      code: 'removed-type',
      severity: 'block',
      side: 'source',
      database,
      object: `${table}.${id(column).text}`,
      message: `Column ${id(column).text} of ${table} in database "${database}" has type ${type.replace(/^_(.*)$/, '$1[]')}, which the target does not know.`,
      remedy: `ALTER TABLE ${table} ALTER COLUMN ${id(column).text} TYPE ${wanted}; (rewrites it under an exclusive lock)`,
    };
  });

export const judgeInvalidIndexes = (database: string, indexes: readonly IndexOfTable[]): CheckFinding[] =>
  indexes.map(({ table, name }) => ({
    code: 'invalid-index',
    severity: 'warning',
    side: 'source',
    database,
    object: name,
    message: `Index ${name} of ${table} in database "${database}" is invalid (a CREATE INDEX CONCURRENTLY that failed); pg_dump leaves it out, so the target will not have it.`,
    remedy: `If it is wanted, on the source: REINDEX INDEX ${name}; else DROP INDEX ${name};`,
  }));

export const judgeNotValid = (database: string, constraints: readonly IndexOfTable[]): CheckFinding[] =>
  constraints.map(({ table, name }) => ({
    code: 'not-valid-constraint',
    severity: 'warning',
    side: 'source',
    database,
    object: `${table}.${id(name).text}`,
    message: `Constraint ${id(name).text} of ${table} in database "${database}" is NOT VALID; it is carried as it is.`,
    remedy: `If that is not meant, on the source: ALTER TABLE ${table} VALIDATE CONSTRAINT ${id(name).text};`,
  }));
