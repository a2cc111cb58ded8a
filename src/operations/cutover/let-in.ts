import type { OperationContext } from '../../engine/operation.ts';
import type { LedgerEntry } from '../../postgres/catalog/ledger-notes.ts';
import { id, sql, trusted } from '../../postgres/sql.ts';
import { restorePrivileges } from '../databases/database-privileges.ts';
import { sourceDefinitions } from '../databases/source-definition.ts';
import { swapped } from '../replication/way-back.ts';
import { fenceKey, lowerFence, proofKey, untilUndisturbed } from './fence.ts';
import { openedOf } from './opened.ts';
import { makersKey } from './readers.ts';

/** What setup has noted of a database that it made, until applications are let in. */
const madeKey = (database: string) => ({ kind: 'database', database });

/** Whether a note of the target's ledger keeps a database closed. */
const keepsClosed = ({ kind }: LedgerEntry): boolean => kind === madeKey('').kind || kind === fenceKey('').kind;

/**
 * Whether the target's database is still kept closed: by the connection limit that setup has given it or, where applications have left
 * it before, by its fence.
 */
export const isClosed = async ({
  target,
  targetLedger,
}: Pick<OperationContext, 'target' | 'targetLedger'>): Promise<boolean> =>
  (await targetLedger.entriesOn([target.name])).some(keepsClosed);

/** Those of the databases that applications get into where they are to go. */
export async function openAmong(
  { targetCluster, targetLedger }: Pick<OperationContext, 'targetCluster' | 'targetLedger'>,
  databases: readonly string[],
): Promise<ReadonlySet<string>> {
  const notes = await targetLedger.entriesOn(databases);
  const opened = await openedOf(notes, targetCluster);
  const closed = new Set(notes.filter(keepsClosed).map(({ database }) => database));
  return new Set([...opened.keys()].filter((name) => !closed.has(name)));
}

/** The same of the database of this step. */
export const letsIn = async (
  context: Pick<OperationContext, 'target' | 'targetCluster' | 'targetLedger'>,
): Promise<boolean> => (await openAmong(context, [context.target.name])).has(context.target.name);

/**
 * Applications get into databases of the target, all in the same moment. Until here their connection limit has kept out everybody but
 * superusers, whatever their privileges are; only who has decided to open (`agreeToOpen`) comes here. What its own fence has kept closed
 * comes before, one after the other.
 * @param contexts of one run
 * @param opened told which ones are open, as soon as they are
 * @see https://www.postgresql.org/docs/current/sql-alterdatabase.html
 */
export async function letIn(
  contexts: readonly OperationContext[],
  opened: (databases: readonly string[]) => Promise<void>,
): Promise<void> {
  const [first] = contexts;
  if (!first) return;
  const names = contexts.map(({ target }) => target.name);
  const definitions = await sourceDefinitions(first, names);
  const fences = [fenceKey, proofKey, makersKey].map((key) => key('').kind);
  const fenced = new Set((await first.targetLedger.entriesOn(names, fences)).map(({ database }) => database));
  const limited: string[] = [];
  for (const context of contexts) {
    const { name } = context.target;
    if (!fenced.has(name) || !(await lowerFence(swapped(context)))) limited.push(name);
    else {
      // What was granted on the side that is left counts, not what was before this fence.
      await restorePrivileges(context, new Map([[name, definitions.get(name)!]]), context.sourceCluster);
      await opened([name]);
    }
  }
  if (limited.length === 0) return;
  const statements = limited.map(
    (name) =>
      sql`alter database ${id(name)} connection limit ${trusted(String(definitions.get(name)!.connectionLimit))}`,
  );
  await untilUndisturbed(() => first.targetCluster.maintenance.atOnce(statements));
  await opened(limited);
}

/** A database on the new cluster that applications leave is ours again. */
export async function takeOver(
  { sourceCluster, sourceLedger }: OperationContext,
  databases: readonly string[],
): Promise<void> {
  if (sourceCluster.side !== 'target') return;
  await sourceLedger.replaceAll(madeKey('').kind, new Map(databases.map((name) => [name, {}])));
}

/** From here on nothing of ours may touch them. */
export const letGo = ({ targetLedger }: OperationContext, databases: readonly string[]): Promise<void> =>
  targetLedger.forgetAll(madeKey('').kind, databases);
