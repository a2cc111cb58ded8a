import type { OperationContext } from '../../engine/operation.ts';
import { id, sql, trusted } from '../../postgres/sql.ts';
import { restorePrivileges } from '../databases/database-privileges.ts';
import { sourceDefinition } from '../databases/source-definition.ts';
import { fenceKey, lowerFence } from './fence.ts';
import { openedDatabase } from './opened.ts';

/** What setup has noted of a database that it made, until applications are let in. */
const madeKey = (database: string) => ({ kind: 'database', database });

/**
 * Whether the target's database is still kept closed: by the connection limit that setup has given it or, where applications have left
 * it before, by its fence.
 */
export async function isClosed({
  target,
  targetLedger,
}: Pick<OperationContext, 'target' | 'targetLedger'>): Promise<boolean> {
  const kinds = new Set((await targetLedger.entries(undefined, target.name)).map(({ kind }) => kind));
  return kinds.has(madeKey(target.name).kind) || kinds.has(fenceKey(target.name).kind);
}

/** Whether applications get in where they are to go. */
export const letsIn = async (
  context: Pick<OperationContext, 'source' | 'target' | 'targetCluster' | 'targetLedger'>,
): Promise<boolean> => (await openedDatabase(context)) !== undefined && !(await isClosed(context));

/**
 * Applications get into the target's database. Until here its connection limit has kept out everybody but superusers, whatever its
 * privileges are, or its fence; only who has decided to open (`agreeToOpen`) comes here.
 * @see https://www.postgresql.org/docs/current/sql-alterdatabase.html
 */
export async function letIn(context: OperationContext): Promise<void> {
  const { target, targetCluster, targetLedger } = context;
  const itself = { ...context, source: target, sourceCluster: targetCluster, sourceLedger: targetLedger };
  const definition = await sourceDefinition(context);
  // What was granted on the side that is left counts, not what was before this fence.
  if (await lowerFence(itself))
    return restorePrivileges(context, new Map([[target.name, definition]]), context.sourceCluster);
  const { connectionLimit } = definition;
  await targetCluster.maintenance.run(
    sql`alter database ${id(target.name)} connection limit ${trusted(String(connectionLimit))}`,
  );
}

/** From here on nothing of ours may touch it. A database on the new cluster that applications have left is ours again. */
export async function letGo({ source, sourceLedger, target, targetLedger }: OperationContext): Promise<void> {
  if (source.side === 'target') await sourceLedger.record(madeKey(source.name), {});
  await targetLedger.forget(madeKey(target.name));
}
