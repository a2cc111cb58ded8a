import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { ListedDatabase, listedDatabases } from '../../postgres/catalog/listed-databases.ts';
import { UserTable, userTables } from '../../postgres/catalog/tables.ts';
import type { Database } from '../../postgres/database.ts';
import { DatabaseError } from '../../postgres/errors.ts';
import { fragment, id, sql } from '../../postgres/sql.ts';
import type { Fragment } from '../../postgres/sql.ts';
import { waitsFor } from '../replication/locked-tables.ts';
import { identitiesOf } from './identity.ts';
import type { TableToIdentify } from './identity.ts';
import type { TableName } from '../../replication/engine.ts';

const KIND = 'replica-identity';

const Identity = z.object({ identity: UserTable.shape.identity, index: z.string().nullable() });
type Identity = z.output<typeof Identity>;

/** What the ledger says of a table: its identity before, and the one we gave it, so that undo leaves what an operator chose since. */
const Note = Identity.extend({ made: Identity });

interface Change {
  readonly table: TableName;
  readonly to: Identity;
}

/**
 * A published table without replica identity refuses UPDATE and DELETE. Each gets one that is there already: a suitable unique
 * index, else the whole row. No column is ever added.
 * @see https://www.postgresql.org/docs/current/logical-replication-publication.html#LOGICAL-REPLICATION-PUBLICATION-REPLICA-IDENTITY
 */
export const setReplicaIdentity = defineOperation({
  name: 'set-replica-identity',
  title: 'Every table has a replica identity',
  scope: 'database',
  input: z.strictObject({}),
  output: z.strictObject({ tables: z.int(), usingIndex: z.int(), full: z.int() }),

  async check({ source, sourceCluster }) {
    const { tables, lacking } = await identitiesOf(source, (await sourceCluster.facts()).major);
    if (lacking.length > 0) return lacks(lacking);
    const count = (identity: UserTable['identity']) => tables.filter((table) => table.identity === identity).length;
    return holds({ tables: tables.length, usingIndex: count('i'), full: count('f') });
  },

  async apply(context, lacking: readonly TableToIdentify[]) {
    const { source, sourceLedger } = context;
    const originals = new Map(
      (await sourceLedger.entries(KIND, source.name)).map((entry) => [entry.object, entry.before]),
    );
    const changes = lacking.flatMap(({ table, choice }): (Change & { readonly from: Identity })[] => {
      if (choice.by === 'nothing') return [];
      const to: Identity =
        choice.by === 'index' ? { identity: 'i', index: choice.index } : { identity: 'f', index: null };
      return [{ table, to, from: { identity: table.identity, index: table.identityIndex } }];
    });
    await alterEach(context, source, changes, async ({ table, from, to }) => {
      const object = nameOf(table);
      const original = originals.get(object);
      const before = original === undefined ? from : Note.parse(original);
      await sourceLedger.replace({ kind: KIND, database: source.name, object }, { ...before, made: to });
    });
    refuseTheRest(source, lacking);
  },

  async undo(context) {
    const { source, target, targetCluster, sourceLedger } = context;
    const entries = await sourceLedger.entries(KIND, source.name);
    if (entries.length === 0) return false;
    const notes = new Map(entries.map((entry) => [entry.object, Note.parse(entry.before)]));
    await restore(context, source, notes);
    const databases = await targetCluster.maintenance.many(ListedDatabase, listedDatabases());
    // pg_dump has carried our choice over.
    if (databases.some(({ name, connectable, invalid }) => name === target.name && connectable && !invalid)) {
      await restore(context, target, notes);
    }
    for (const { object } of entries) await sourceLedger.forget({ kind: KIND, database: source.name, object });
    return true;
  },
});

const nameOf = ({ schema, name }: TableName): string => id(schema, name).text;

/** Puts back what was before, where it still is what we made. */
async function restore(
  context: OperationContext,
  database: Database,
  notes: ReadonlyMap<string, z.output<typeof Note>>,
): Promise<void> {
  const tables = await database.many(UserTable, userTables());
  const changes = tables.flatMap((table): Change[] => {
    const note = notes.get(nameOf(table));
    if (!note || table.identity !== note.made.identity || table.identityIndex !== note.made.index) return [];
    return [{ table, to: note }];
  });
  await alterEach(context, database, changes, async () => {});
}

/**
 * Changes one table after the other, each with a short wait for its lock, so that nobody queues behind us for long. Tables that
 * are locked are tried once more when all others are done.
 * @throws PgconvoyError (`wait`) that names who holds the locks
 */
async function alterEach<C extends Change>(
  { settings, signal, progress, log }: OperationContext,
  database: Database,
  changes: readonly C[],
  before: (change: C) => Promise<void>,
): Promise<void> {
  let locked: { readonly change: C; readonly error: unknown }[] = [];
  let done = 0;
  const alter = async (change: C) => {
    signal.throwIfAborted();
    progress({ done, total: changes.length, unit: 'tables', note: nameOf(change.table) });
    await before(change);
    try {
      await database.run(
        sql`alter table only ${id(change.table.schema, change.table.name)} replica identity ${clause(change.to)}`,
        { lockTimeoutMs: settings.deadlines.lockTimeout },
      );
      log.info({ table: nameOf(change.table), to: change.to }, 'replica identity changed');
      done++;
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
      if (error.sqlstate === LOCK_NOT_AVAILABLE) locked.push({ change, error });
      // Dropped since we looked: then nothing is missing. The check that follows says so.
      else if (error.sqlstate !== UNDEFINED_TABLE) throw error;
    }
  };
  for (const change of changes) await alter(change);
  const again = locked.map(({ change }) => change);
  locked = [];
  for (const change of again) await alter(change);
  const [first] = locked;
  if (!first) return;
  const tables = locked.map(({ change }) => change.table);
  const what = `the replica identity of ${tables.length === 1 ? nameOf(first.change.table) : `${tables.length} tables`}`;
  throw await waitsFor(database, tables, what, first.error, 'AccessExclusiveLock');
}

const LOCK_NOT_AVAILABLE = '55P03';
const UNDEFINED_TABLE = '42P01';

/** An index that is gone identifies nothing: PostgreSQL treats such a table like NOTHING. */
function clause({ identity, index }: Identity): Fragment {
  if (identity === 'd') return fragment`default`;
  if (identity === 'f') return fragment`full`;
  return identity === 'i' && index !== null ? fragment`using index ${id(index)}` : fragment`nothing`;
}

/** @throws PgconvoyError that names the tables for which a person has to decide. */
function refuseTheRest(database: Database, lacking: readonly TableToIdentify[]): void {
  const rest = lacking.flatMap(({ table, choice }) =>
    choice.by === 'nothing' ? [{ table, columns: choice.columns }] : [],
  );
  const [first] = rest;
  if (!first) return;
  const named = rest.slice(0, 5).map(({ table, columns }) => `${nameOf(table)} (${columns.join(', ')})`);
  const more = rest.length > named.length ? ` and ${rest.length - named.length} more` : '';
  throw new PgconvoyError(
    `source, database "${database.name}": no replica identity can be chosen for ${named.join(', ')}${more}: there is no unique index on NOT NULL columns, and the named columns know no equality, so the whole row cannot identify it`,
    {
      hint: `Add a key, e.g. ALTER TABLE ${nameOf(first.table)} ADD PRIMARY KEY (…); or leave "${database.name}" out with databases.exclude. Then retry the step.`,
    },
  );
}
