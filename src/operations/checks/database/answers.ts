import type { OperationContext } from '../../../engine/operation.ts';
import * as contents from '../../../postgres/catalog/contents.ts';
import { objectsInOurSchema, StrayObject } from '../../../postgres/catalog/database-facts.ts';
import {
  ConfigTable,
  configTables,
  InstalledExtension,
  installedExtensions,
} from '../../../postgres/catalog/extensions.ts';
import { DatabaseSetting, databaseSettingNames, Setting, settingsNamed } from '../../../postgres/catalog/settings.ts';
import { identifiedTables, UserTable } from '../../../postgres/catalog/tables.ts';
import type { Answers } from '../../../postgres/database.ts';
import { DatabaseError } from '../../../postgres/errors.ts';
import { PUBLICATION } from '../../../replication/names.ts';

/** What every check asks the source of its database, whatever comes out. */
const QUESTIONS = {
  tables: { row: UserTable, query: identifiedTables() },
  extensions: { row: InstalledExtension, query: installedExtensions() },
  preloaded: { row: Setting, query: settingsNamed(['shared_preload_libraries']) },
  configTables: { row: ConfigTable, query: configTables() },
  invalidIndexes: { row: contents.IndexOfTable, query: contents.invalidIndexes() },
  notValidConstraints: { row: contents.IndexOfTable, query: contents.notValidConstraints() },
  tablesWithOids: { row: contents.Named, query: contents.tablesWithOids() },
  columnsOfRemovedTypes: { row: contents.TypedColumn, query: contents.columnsOfRemovedTypes() },
  largeObjects: { row: contents.Amount, query: contents.largeObjects() },
  materializedViews: { row: contents.Amount, query: contents.filledMaterializedViews() },
  foreignServers: { row: contents.ForeignServer, query: contents.foreignServers() },
  triggers: { row: contents.Trigger, query: contents.alwaysTriggers() },
  eventTriggers: { row: contents.Named, query: contents.eventTriggers() },
  looseFunctions: { row: contents.LooseFunction, query: contents.functionsWithoutSearchPath() },
  strayObjects: { row: StrayObject, query: objectsInOurSchema() },
  settings: { row: DatabaseSetting, query: databaseSettingNames() },
  publications: { row: contents.Named, query: contents.otherPublications(PUBLICATION) },
} as const;

type All = Answers<typeof QUESTIONS>;

const asked = new WeakMap<OperationContext, Promise<All | undefined>>();

/**
 * The source's answer to one of the questions. All are asked at once, with the first; where one of them is refused (a privilege),
 * each is asked alone, so that it hides no other.
 */
export async function answerTo<K extends keyof All>(context: OperationContext, name: K): Promise<All[K]> {
  const { source } = context;
  const together = asked.get(context) ?? source.together(QUESTIONS).catch(refused);
  asked.set(context, together);
  const all = await together;
  if (all) return all[name];
  const alone = await source.together({ [name]: QUESTIONS[name] });
  return (alone as Pick<All, K>)[name];
}

function refused(error: unknown): undefined {
  if (!(error instanceof DatabaseError) || error.disposition !== 'give-up') throw error;
}
