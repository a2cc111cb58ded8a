import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import type { Finding } from '../../engine/finding.ts';
import type { AnyOperation, OperationContext } from '../../engine/operation.ts';
import { runOperation } from '../../engine/run-operation.ts';
import { isReplicated, NamedTable, namedTables } from '../../postgres/catalog/tables.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import { fragment, id, join, sql, trustedStatement } from '../../postgres/sql.ts';
import type { TableName } from '../../replication/engine.ts';
import { tablesWithout } from '../../replication/table-names.ts';
import { copyTables } from '../replication/copy-tables.ts';
import { createPublication } from '../replication/create-publication.ts';
import { nonEmptyTables } from '../replication/non-empty-tables.ts';
import { pairOf } from '../replication/pair.ts';
import { grantReplicationRole } from '../roles/grant-replication-role.ts';
import { buildIndexes } from '../schema/build-indexes.ts';
import { copySchema } from '../schema/copy-schema.ts';
import { setReplicaIdentity } from '../tables/set-replica-identity.ts';
import { acceptMade, acceptRows, bothFingerprints } from './baseline.ts';
import type { ObjectDrift } from './compare.ts';
import { lookForDrift } from './look.ts';
import { patiently } from './patiently.ts';
import { refuseUnlessReplicating } from './replicating.ts';

export interface ResyncOutcome {
  /** Tables whose rows were copied, all of them. */
  readonly copied: readonly TableName[];
  /** What only a person can bring together. */
  readonly findings: readonly Finding[];
}

/**
 * Brings the target to what the source is now, as far as nothing is lost by it: makes what is missing, replaces functions and views, lets
 * new tables travel, and copies anew the rows of `named` tables and of those that were made again on the source.
 * The caller holds the lock of the database.
 * @throws PgconvoyError
 */
export async function resyncDatabase(context: OperationContext, named: readonly string[]): Promise<ResyncOutcome> {
  await refuseUnlessReplicating(context, 'pgconvoy resync');
  const tables = await tablesNamed(context, named);
  const { drifts } = await lookForDrift(context, false);
  await replaceDefinitions(context, drifts);
  const before = await travellingTables(context);
  // What needs a person is among the findings in the end.
  await takeIn(context);
  const added = tablesWithout(await travellingTables(context), before);
  const remade = drifts.flatMap(({ change, schema, name }) =>
    change === 'remade' && schema !== null ? [{ schema, name }] : [],
  );
  const again = tablesWithout([...tables, ...tablesWithout(remade, tables)], added);
  await copyAgain(context, again);
  await acceptRows(context, remade);
  const { findings } = await lookForDrift(context, true);
  return { copied: [...added, ...again], findings };
}

async function travellingTables(context: OperationContext): Promise<TableName[]> {
  const { tables } = await context.engine.subscription(pairOf(context));
  return tables.map(({ schema, name }) => ({ schema, name }));
}

/**
 * Lets everything travel that is new on the source: what start and setup do, each looking first. What needs a person does not stop the
 * rest; it is returned.
 */
export async function takeIn(context: OperationContext): Promise<PgconvoyError | undefined> {
  const { engine } = context;
  const steps: readonly AnyOperation[] = [
    setReplicaIdentity,
    copySchema,
    grantReplicationRole,
    createPublication,
    ...((await engine.subscription(pairOf(context))).enabled ? [copyTables] : []),
    buildIndexes,
  ];
  const refused: PgconvoyError[] = [];
  for (const operation of steps) {
    if (operation === copyTables) await emptyNewTables(context);
    try {
      await patiently(context, () => runOperation(operation, { ...context, input: operation.input.parse({}) }));
    } catch (error) {
      const needsPerson = error instanceof PgconvoyError && !(error instanceof DatabaseError);
      if (!needsPerson || (operation !== copySchema && operation !== buildIndexes)) throw error;
      refused.push(error);
    }
  }
  return refused[0];
}

/** A table that is new to the subscription may hold rows already: of CREATE TABLE … AS on both sides, or of a copy that was broken off. */
async function emptyNewTables(context: OperationContext): Promise<void> {
  const pair = pairOf(context);
  const published = (await context.engine.publishedTables(pair)) ?? [];
  await emptied(context, tablesWithout(published, await travellingTables(context)));
}

/**
 * Copies the rows of these tables anew, while all others go on: they leave the publication and the subscription, are emptied on the
 * target, and come back. Broken off anywhere, `takeIn` does the rest.
 * @see https://www.postgresql.org/docs/current/sql-altersubscription.html
 */
export async function copyAgain(context: OperationContext, tables: readonly TableName[]): Promise<void> {
  const { engine, settings } = context;
  const pair = pairOf(context);
  const { enabled } = await engine.subscription(pair);
  if (tables.length === 0 || !enabled) return;
  const published = (await engine.publishedTables(pair)) ?? [];
  const publish = (wanted: readonly TableName[]) =>
    patiently(context, () => engine.publish(pair, wanted, settings.deadlines.lockTimeout));
  await publish(tablesWithout(published, tables));
  await engine.refresh(pair);
  await patiently(context, () => emptied(context, tables));
  await publish(published);
  await runOperation(copyTables, { ...context, input: {} });
}

const FEATURE_NOT_SUPPORTED = '0A000';

/**
 * Before a copy: into a table with rows it would fail on the key, or double the rows. TRUNCATE refuses a table that a foreign key of
 * another one refers to; then its rows go one by one, with no foreign key looking. Nobody may need them: the schema is our copy and
 * the database has not been opened.
 */
async function emptied({ target, settings }: OperationContext, tables: readonly TableName[]): Promise<void> {
  const filled = await nonEmptyTables(target, tables);
  if (filled.length === 0) return;
  const names = filled.map(({ schema, name }) => fragment`only ${id(schema, name)}`);
  try {
    await target.run(sql`truncate ${join(names)}`, { lockTimeoutMs: settings.deadlines.lockTimeout });
  } catch (error) {
    if (!(error instanceof DatabaseError && error.sqlstate === FEATURE_NOT_SUPPORTED)) throw error;
    await target.transaction(async () => {
      await target.run(sql`set local session_replication_role = replica`);
      for (const name of names) await target.run(sql`delete from ${name}`);
    });
  }
}

/** @throws PgconvoyError where there is no such table whose rows travel */
async function tablesNamed({ source }: OperationContext, names: readonly string[]): Promise<TableName[]> {
  if (names.length === 0) return [];
  const tables = (await source.many(NamedTable, namedTables())).filter(isReplicated);
  return names.map((named) => {
    const fits = tables.filter(({ schema, name }) => [`${schema}.${name}`, id(schema, name).text].includes(named));
    const bare = tables.filter(({ name }) => name === named || id(name).text === named);
    const found = fits.length > 0 ? fits : bare;
    const [table] = found;
    if (table && found.length === 1) return { schema: table.schema, name: table.name };
    throw new PgconvoyError(
      table
        ? `source, database "${source.name}": ${found.length} tables are called ${named}: ${found.map((each) => id(each.schema, each.name).text).join(', ')}`
        : `source, database "${source.name}": there is no table ${named} whose rows travel`,
      { hint: 'Name it as schema.table; of a partitioned table name the partitions, which hold its rows.' },
    );
  });
}

const Definition = z.object({ statement: z.string() });

/** Functions and views that were replaced on the source are replaced on the target: nothing can be lost by it. */
async function replaceDefinitions(context: OperationContext, drifts: readonly ObjectDrift[]): Promise<void> {
  const replaced = drifts.filter(
    ({ kind, change, parts }) =>
      change === 'changed' &&
      (kind === 'function' || kind === 'view') &&
      parts.some(({ part, source }) => part === 'definition' && source.now !== source.before),
  );
  if (replaced.length === 0) return;
  const { source, target } = context;
  const before = await bothFingerprints(context);
  for (const drift of replaced) {
    const definition = await source.maybe(
      Definition,
      drift.kind === 'view' ? viewDefinition(drift) : functionDefinition(drift),
    );
    if (!definition) continue;
    await target.transaction(async () => {
      await target.run(sql`set local check_function_bodies = off`);
      await target.run(trustedStatement(definition.statement));
    });
  }
  await acceptMade(context, before);
}

const viewDefinition = ({ schema, name }: ObjectDrift) => sql`
  select format('create or replace view %I.%I %s as %s', n.nspname, c.relname,
                coalesce('with (' || array_to_string(c.reloptions, ', ') || ')', ''), pg_get_viewdef(c.oid)) as statement
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where n.nspname = ${schema} and c.relname = ${name}`;

const functionDefinition = ({ schema, name }: ObjectDrift) => sql`
  select pg_get_functiondef(p.oid) as statement
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
   where n.nspname = ${schema} and p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' = ${name}
     and not exists (select from pg_aggregate g where g.aggfnoid = p.oid)`;
