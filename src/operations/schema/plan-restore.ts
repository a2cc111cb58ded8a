import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OperationContext } from '../../engine/operation.ts';
import { described, Described, IdentityIndex, identityIndexes } from '../../postgres/catalog/inventory.ts';
import { parseDump, sectionsOf } from '../../postgres/dump.ts';
import type { DumpEntry } from '../../postgres/dump.ts';
import { planned, writeJournal } from './restore-journal.ts';
import type { PlannedEntry } from './restore-journal.ts';

/**
 * Dumps the source's schema and writes into the target's journal what is to be made of it: before the copy everything but
 * indexes, constraints and triggers, except what identifies rows; after the copy the rest. Triggers that fire while rows are
 * applied are left to create-deferred-triggers.
 */
export async function planRestore(
  { source, target, sourceCluster, programs, signal }: OperationContext,
  parts: readonly PlannedEntry['part'][],
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'pgconvoy-'));
  try {
    const file = join(folder, 'schema.dump');
    const contents = await source.one(Described, described());
    await programs.dumpSchema(sourceCluster.cluster, source.name, file, contents, signal);
    const { before, after } = sectionsOf(parseDump(await programs.dumpedSql(file, signal)).filter(isUsers));
    const isIdentity = await identityEntries({ source });
    const late = withoutDeferred(after);
    const plan = [
      ...before.map((entry) => planned('schema', entry)),
      ...late.map((entry) => planned(isIdentity(entry) || needsKey(entry) ? 'schema' : 'late', entry)),
    ];
    await writeJournal(
      target,
      parts,
      plan.filter(({ part }) => parts.includes(part)),
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * pglogical does not travel: the engine makes it where it is needed, and takes it away. What others have set up with it stays behind,
 * as slots and subscriptions do.
 */
const isUsers = ({ type, schema, name }: DumpEntry): boolean =>
  !PGLOGICAL.has(schema ?? '') &&
  !((type === 'EXTENSION' || type === 'SCHEMA') && PGLOGICAL.has(name)) &&
  !/^(?:EXTENSION|SCHEMA) "?pglogical(?:_origin)?"?$/.test(name);
const PGLOGICAL: ReadonlySet<string> = new Set(['pglogical', 'pglogical_origin']);

/** What is behind a primary key in the dump because it needs it (GROUP BY names the key alone) belongs to the schema nevertheless. */
const needsKey = ({ type }: DumpEntry): boolean =>
  /^(?:MATERIALIZED VIEW|VIEW|FUNCTION|PROCEDURE|AGGREGATE)$/.test(type);

/** Tells the entries of primary keys and replica identities from others. */
async function identityEntries({ source }: Pick<OperationContext, 'source'>): Promise<(entry: DumpEntry) => boolean> {
  const indexes = await source.many(IdentityIndex, identityIndexes());
  // pg_dump prints a line break in a name as a space.
  const key = (...words: (string | null)[]) => JSON.stringify(words).replaceAll(/\\[nr]/g, ' ');
  const keys = new Set(
    indexes.flatMap(({ schema, table, index }) => [
      key('CONSTRAINT', schema, `${table} ${index}`),
      key('INDEX', schema, index),
    ]),
  );
  return ({ type, schema, name }) => keys.has(key(type, schema, name));
}

/**
 * Leaves out triggers that fire while rows are applied, event triggers, and comments on both; and comments on publications, which
 * some pg_dump print although they are told to leave publications out.
 */
function withoutDeferred(entries: readonly DumpEntry[]): DumpEntry[] {
  const deferred = new Set<number>();
  return entries.filter((entry) => {
    const isDeferred =
      entry.type === 'EVENT TRIGGER' ||
      (/^(?:PUBLICATION|SUBSCRIPTION) /.test(entry.name) && /^(?:COMMENT|SECURITY LABEL)$/.test(entry.type)) ||
      (entry.type === 'TRIGGER' && /^ALTER TABLE .* ENABLE (?:ALWAYS|REPLICA) TRIGGER /m.test(entry.sql)) ||
      entry.dependencies.some((dependency) => deferred.has(dependency));
    if (isDeferred) deferred.add(entry.id);
    return !isDeferred;
  });
}
