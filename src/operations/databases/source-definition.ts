import type { OperationContext } from '../../engine/operation.ts';
import { PgconvoyError } from '../../errors.ts';
import { DatabaseDefinition, databaseDefinitions } from '../../postgres/catalog/database-definitions.ts';
import type { LedgerEntry } from '../../postgres/catalog/ledger-notes.ts';
import { BeforeFence, fenceKey } from '../cutover/fence.ts';
import { namedNow } from '../cutover/noted-roles.ts';
import type { WantedPrivileges } from './database-privileges.ts';

const READ_ONLY = 'default_transaction_read_only';

type SourceContext = Pick<OperationContext, 'sourceCluster' | 'sourceLedger'>;

/**
 * By name, how databases of the source were made; where they are fenced, as they were before the fence.
 * @throws PgconvoyError where one is not there
 */
export async function sourceDefinitions(
  context: SourceContext,
  names: readonly string[],
): Promise<ReadonlyMap<string, DatabaseDefinition>> {
  const { sourceCluster, sourceLedger } = context;
  const { notes, rows } = await sourceLedger.entriesAnd(names, databaseDefinitions(names));
  const fences = await fencesOn(context, notes);
  const found = new Map(
    rows.map((row) => {
      const definition = DatabaseDefinition.parse(row);
      const fence = fences.get(definition.name);
      return [definition.name, fence === undefined ? definition : beforeFence(definition, fence.before)];
    }),
  );
  const gone = names.find((name) => !found.has(name));
  if (gone === undefined) return found;
  throw new PgconvoyError(`${sourceCluster.side}, database "${gone}": it is not there any more`, {
    hint: 'Somebody has probably just dropped or renamed it; run the step again.',
    disposition: 'retry',
  });
}

/**
 * By name, the privileges and limits that databases had before they were left. The fence's note says so, and stands as long as they are left:
 * also where somebody has dropped the database since.
 * @throws PgconvoyError where one is not there, and has no fence
 */
export async function privilegesBefore(
  context: SourceContext,
  names: readonly string[],
): Promise<ReadonlyMap<string, WantedPrivileges>> {
  const noted = await fencesOn(context, await context.sourceLedger.entriesOn(names, [fenceKey('').kind]));
  const others = names.filter((name) => !noted.has(name));
  return new Map<string, WantedPrivileges>([
    ...(others.length > 0 ? await sourceDefinitions(context, others) : []),
    ...[...noted].map(([name, { before }]) => [name, before] as const),
  ]);
}

/** What was before the fences, by database. */
const fencesOn = ({ sourceCluster }: SourceContext, notes: readonly LedgerEntry[]) =>
  namedNow(
    sourceCluster,
    new Map(
      notes
        .filter(({ kind }) => kind === fenceKey('').kind)
        .map(({ database, before }) => [database, BeforeFence.parse(before)]),
    ),
  );

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
