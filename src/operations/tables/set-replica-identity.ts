import * as z from 'zod';
import { PgconvoyError } from '../../errors.ts';
import { defineOperation, holds, lacks } from '../../engine/operation.ts';
import type { OperationContext } from '../../engine/operation.ts';
import { ListedDatabase, listedDatabases } from '../../postgres/catalog/listed-databases.ts';
import { isSurrogateIndex } from '../../postgres/catalog/surrogate-keys.ts';
import { UserTable, userTables } from '../../postgres/catalog/tables.ts';
import type { Database } from '../../postgres/database.ts';
import { fragment, id, sql } from '../../postgres/sql.ts';
import type { Fragment } from '../../postgres/sql.ts';
import type { TableName } from '../../replication/engine.ts';
import { eachTable, nameOf } from './each-table.ts';
import { remedyFor } from './identity-remedy.ts';
import { identitiesOf, LARGE_BYTES } from './identity.ts';
import type { TableToIdentify } from './identity.ts';
import { addSurrogateKeys, BATCH_PAGES, dropSurrogateKeys, SURROGATE_KEY } from './surrogate-key.ts';

const KIND = 'replica-identity';

const Identity = z.object({ identity: UserTable.shape.identity, index: z.string().nullable() });
type Identity = z.output<typeof Identity>;

/** What the ledger says of a table: its identity before, and the one we gave it, so that undo leaves what an operator chose since. */
const Note = Identity.extend({ made: Identity });

interface Change extends TableName {
  readonly to: Identity;
}

/**
 * A published table without replica identity refuses UPDATE and DELETE. Each gets one that is there already: a suitable unique
 * index, else the whole row. A key column is added only where the configuration asks for it.
 * @see https://www.postgresql.org/docs/current/logical-replication-publication.html#LOGICAL-REPLICATION-PUBLICATION-REPLICA-IDENTITY
 */
export const setReplicaIdentity = defineOperation({
  name: 'set-replica-identity',
  title: 'Every table has a replica identity',
  scope: 'database',
  input: z.strictObject({
    /** From this size on a key column is not added by a rewrite. */
    largeBytes: z.number().min(0).default(LARGE_BYTES),
    /** Pages filled in one transaction then. */
    batchPages: z.int().min(1).default(BATCH_PAGES),
  }),
  output: z.strictObject({
    tables: z.int(),
    usingIndex: z.int(),
    full: z.int(),
    surrogateKeys: z.int(),
    /** Left to a person by the configuration. */
    skipped: z.int(),
  }),

  async check(context) {
    const { tables, lacking } = await identitiesOf(context, context.input.largeBytes);
    const missing = lacking.filter(({ choice }) => choice.by !== 'skip');
    if (missing.length > 0) return lacks(missing);
    const count = (identity: UserTable['identity']) => tables.filter((table) => table.identity === identity).length;
    return holds({
      tables: tables.length,
      usingIndex: count('i'),
      full: count('f'),
      surrogateKeys: tables.filter((table) => isSurrogateIndex(table.identityIndex)).length,
      skipped: lacking.length,
    });
  },

  async apply(context, missing: readonly TableToIdentify[]) {
    await useWhatIsThere(context, missing);
    const keyless = missing.flatMap(({ table, choice }) =>
      choice.by === 'surrogate-key' ? [{ ...table, inBatches: choice.inBatches }] : [],
    );
    if (keyless.length > 0) {
      await addSurrogateKeys(context, keyless, context.input.batchPages);
      // Where the new key is no primary key, or the table has been told to use something else.
      await useWhatIsThere(context, (await identitiesOf(context, context.input.largeBytes)).lacking);
    }
    refuseTheRest(context.source, missing);
  },

  async undo(context) {
    const { source, target, targetCluster, sourceLedger } = context;
    const changed = await sourceLedger.entries(KIND, source.name);
    const keyed = await sourceLedger.entries(SURROGATE_KEY, source.name);
    if (changed.length + keyed.length === 0) return false;
    const notes = new Map(changed.map((entry) => [entry.object, Note.parse(entry.before)]));
    const databases = await targetCluster.maintenance.many(ListedDatabase, listedDatabases());
    // pg_dump has carried our choices over.
    const isCarried = databases.some(
      ({ name, connectable, invalid }) => name === target.name && connectable && !invalid,
    );
    for (const database of isCarried ? [source, target] : [source]) {
      if (notes.size > 0) await restore(context, database, notes);
      if (keyed.length > 0) await dropSurrogateKeys(context, database);
    }
    for (const { kind, object } of [...changed, ...keyed])
      await sourceLedger.forget({ kind, database: source.name, object });
    return true;
  },
});

/** An index or the whole row, ledger first. */
async function useWhatIsThere(context: OperationContext, lacking: readonly TableToIdentify[]): Promise<void> {
  const { source, sourceLedger } = context;
  const changes = lacking.flatMap(({ table, choice }): (Change & { readonly from: Identity })[] => {
    if (choice.by !== 'index' && choice.by !== 'full') return [];
    const to: Identity =
      choice.by === 'index' ? { identity: 'i', index: choice.index } : { identity: 'f', index: null };
    return [
      { schema: table.schema, name: table.name, to, from: { identity: table.identity, index: table.identityIndex } },
    ];
  });
  if (changes.length === 0) return;
  const entries = await sourceLedger.entries(KIND, source.name);
  const originals = new Map(entries.map((entry) => [entry.object, entry.before]));
  await alterEach(context, source, changes, async ({ from, to, ...table }) => {
    const object = nameOf(table);
    const original = originals.get(object);
    const before = original === undefined ? from : Note.parse(original);
    await sourceLedger.replace({ kind: KIND, database: source.name, object }, { ...before, made: to });
  });
}

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
    return [{ schema: table.schema, name: table.name, to: note }];
  });
  await alterEach(context, database, changes, async () => {});
}

async function alterEach<C extends Change>(
  context: OperationContext,
  database: Database,
  changes: readonly C[],
  before: (change: C) => Promise<void>,
): Promise<void> {
  const { settings, log } = context;
  await eachTable(context, database, changes, {
    what: 'the replica identity',
    async act(change) {
      await before(change);
      await database.run(
        sql`alter table only ${id(change.schema, change.name)} replica identity ${clause(change.to)}`,
        { lockTimeoutMs: settings.deadlines.lockTimeout },
      );
      log.info({ table: nameOf(change), to: change.to }, 'replica identity changed');
    },
  });
}

/** An index that is gone identifies nothing: PostgreSQL treats such a table like NOTHING. */
function clause({ identity, index }: Identity): Fragment {
  if (identity === 'd') return fragment`default`;
  if (identity === 'f') return fragment`full`;
  return identity === 'i' && index !== null ? fragment`using index ${id(index)}` : fragment`nothing`;
}

/** @throws PgconvoyError that names the tables for which a person has to decide. */
function refuseTheRest(database: Database, missing: readonly TableToIdentify[]): void {
  const rest = missing.flatMap(({ table, choice }) => (choice.by === 'nothing' ? [{ table, choice }] : []));
  const [first] = rest;
  if (!first) return;
  const named = rest.slice(0, 5).map(({ table, choice }) => `${nameOf(table)} (${choice.why})`);
  const more = rest.length > named.length ? `; and ${rest.length - named.length} more` : '';
  throw new PgconvoyError(
    `source, database "${database.name}": no replica identity can be chosen for ${named.join('; ')}${more}`,
    { hint: `${remedyFor(database.name, first.table, first.choice)} Then retry the step.` },
  );
}
