import type { OperationContext } from '../../engine/operation.ts';
import { DatabaseDefinition, databaseDefinition } from '../../postgres/catalog/database-definitions.ts';
import { BeforeFence, fenceKey } from '../cutover/fence.ts';

const READ_ONLY = 'default_transaction_read_only';

/** How the source's database was made; where it is fenced, as it was before the fence. */
export async function sourceDefinition({
  sourceCluster,
  sourceLedger,
  source,
}: OperationContext): Promise<DatabaseDefinition> {
  const definition = await sourceCluster.maintenance.one(DatabaseDefinition, databaseDefinition(source.name));
  const entry = await sourceLedger.find(fenceKey(source.name));
  if (!entry) return definition;
  const { owner, acl, connectionLimit, readOnly } = BeforeFence.parse(entry.before);
  const settings = definition.settings.filter(
    ({ role, setting }) => role !== null || !setting.startsWith(`${READ_ONLY}=`),
  );
  if (readOnly !== null) settings.push({ role: null, setting: `${READ_ONLY}=${readOnly}` });
  return { ...definition, owner, acl, connectionLimit, settings };
}
