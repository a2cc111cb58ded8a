import type { OperationContext } from '../../engine/operation.ts';
import { id, sql, trusted } from '../../postgres/sql.ts';
import { sourceDefinition } from '../databases/source-definition.ts';
import { fenceKey, lowerFence } from './fence.ts';

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

/**
 * Applications get into the target's database. Until here its connection limit has kept out everybody but superusers, whatever its
 * privileges are, or its fence; only who has decided to open (`agreeToOpen`) comes here.
 * @see https://www.postgresql.org/docs/current/sql-alterdatabase.html
 */
export async function letIn(context: OperationContext): Promise<void> {
  const { target, targetCluster, targetLedger } = context;
  const itself = { ...context, source: target, sourceCluster: targetCluster, sourceLedger: targetLedger };
  if (await lowerFence(itself)) return;
  const { connectionLimit } = await sourceDefinition(context);
  await targetCluster.maintenance.run(
    sql`alter database ${id(target.name)} connection limit ${trusted(String(connectionLimit))}`,
  );
}

/** From here on nothing of ours may touch it. */
export const letGo = ({ target, targetLedger }: OperationContext): Promise<void> =>
  targetLedger.forget(madeKey(target.name));
