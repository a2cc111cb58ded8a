import type { OperationContext } from '../../engine/operation.ts';
import { id, sql, trusted } from '../../postgres/sql.ts';
import { sourceDefinition } from '../databases/source-definition.ts';

/**
 * Applications get into the target's database. Until here its connection limit has kept out everybody but superusers, whatever its
 * privileges are; only who has decided to open (`agreeToOpen`) comes here.
 * @see https://www.postgresql.org/docs/current/sql-alterdatabase.html
 */
export async function letIn(context: OperationContext): Promise<void> {
  const { connectionLimit } = await sourceDefinition(context);
  await context.targetCluster.maintenance.run(
    sql`alter database ${id(context.target.name)} connection limit ${trusted(String(connectionLimit))}`,
  );
}
