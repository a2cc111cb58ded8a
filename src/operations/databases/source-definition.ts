import type { OperationContext } from '../../engine/operation.ts';
import { PgconvoyError } from '../../errors.ts';
import { DatabaseDefinition, databaseDefinitions } from '../../postgres/catalog/database-definitions.ts';
import { BeforeFence, fenceKey } from '../cutover/fence.ts';

const READ_ONLY = 'default_transaction_read_only';

type SourceContext = Pick<OperationContext, 'sourceCluster' | 'sourceLedger'>;

/**
 * By name, how databases of the source were made; where they are fenced, as they were before the fence.
 * @throws PgconvoyError where one is not there
 */
export async function sourceDefinitions(
  { sourceCluster, sourceLedger }: SourceContext,
  names: readonly string[],
): Promise<ReadonlyMap<string, DatabaseDefinition>> {
  const { notes, rows } = await sourceLedger.entriesAnd(names, databaseDefinitions(names));
  const fences = new Map(
    notes.filter(({ kind }) => kind === fenceKey('').kind).map(({ database, before }) => [database, before]),
  );
  const found = new Map(
    rows.map((row) => {
      const definition = DatabaseDefinition.parse(row);
      const fence = fences.get(definition.name);
      return [definition.name, fence === undefined ? definition : beforeFence(definition, BeforeFence.parse(fence))];
    }),
  );
  const gone = names.find((name) => !found.has(name));
  if (gone === undefined) return found;
  throw new PgconvoyError(`${sourceCluster.side}, database "${gone}": it is not there any more`, {
    hint: 'Somebody has probably just dropped or renamed it; run the step again.',
    disposition: 'retry',
  });
}

export const sourceDefinition = async (
  context: SourceContext & Pick<OperationContext, 'source'>,
): Promise<DatabaseDefinition> => (await sourceDefinitions(context, [context.source.name])).get(context.source.name)!;

function beforeFence(definition: DatabaseDefinition, fence: BeforeFence): DatabaseDefinition {
  const { owner, acl, connectionLimit, readOnly } = fence;
  const settings = definition.settings.filter(
    ({ role, setting }) => role !== null || !setting.startsWith(`${READ_ONLY}=`),
  );
  if (readOnly !== null) settings.push({ role: null, setting: `${READ_ONLY}=${readOnly}` });
  return { ...definition, owner, acl, connectionLimit, settings };
}
