import * as z from 'zod';
import * as comparison from '../../src/postgres/catalog/comparison.ts';
import * as contents from '../../src/postgres/catalog/contents.ts';
import * as databaseDefinitions from '../../src/postgres/catalog/database-definitions.ts';
import * as databaseFacts from '../../src/postgres/catalog/database-facts.ts';
import * as deferredTriggers from '../../src/postgres/catalog/deferred-triggers.ts';
import * as extensions from '../../src/postgres/catalog/extensions.ts';
import * as fence from '../../src/postgres/catalog/fence.ts';
import * as fingerprint from '../../src/postgres/catalog/fingerprint.ts';
import * as greeting from '../../src/postgres/catalog/greeting.ts';
import * as identities from '../../src/postgres/catalog/identities.ts';
import * as indexedTables from '../../src/postgres/catalog/indexed-tables.ts';
import * as inventory from '../../src/postgres/catalog/inventory.ts';
import * as largeObjects from '../../src/postgres/catalog/large-objects.ts';
import * as agreement from '../../src/postgres/catalog/agreement.ts';
import * as ledgerNotes from '../../src/postgres/catalog/ledger-notes.ts';
import * as listedDatabases from '../../src/postgres/catalog/listed-databases.ts';
import * as materializedViews from '../../src/postgres/catalog/materialized-views.ts';
import * as pglogical from '../../src/postgres/catalog/pglogical.ts';
import * as replicationLag from '../../src/postgres/catalog/replication-lag.ts';
import * as replicationUse from '../../src/postgres/catalog/replication-use.ts';
import * as roleAttributes from '../../src/postgres/catalog/role-attributes.ts';
import * as roleDefinitions from '../../src/postgres/catalog/role-definitions.ts';
import * as rolesOfDatabases from '../../src/postgres/catalog/roles-of-databases.ts';
import * as sequences from '../../src/postgres/catalog/sequences.ts';
import * as serverLife from '../../src/postgres/catalog/server-life.ts';
import * as server from '../../src/postgres/catalog/server.ts';
import * as sessionsInDatabase from '../../src/postgres/catalog/sessions-in-database.ts';
import * as sessions from '../../src/postgres/catalog/sessions.ts';
import * as settings from '../../src/postgres/catalog/settings.ts';
import * as surrogateKeys from '../../src/postgres/catalog/surrogate-keys.ts';
import * as tables from '../../src/postgres/catalog/tables.ts';
import * as transactions from '../../src/postgres/catalog/transactions.ts';
import * as unreplicated from '../../src/postgres/catalog/unreplicated.ts';
import * as serverLog from '../../src/postgres/catalog/server-log.ts';
import * as walDisk from '../../src/postgres/catalog/wal-disk.ts';
import * as waysToWrite from '../../src/postgres/catalog/ways-to-write.ts';
import type { Sql } from '../../src/postgres/sql.ts';

/** The question for a fingerprint with nothing left out. */
export const EVERY_KIND: fingerprint.Kinds = {
  triggers: true,
  rules: true,
  policies: true,
  statistics: true,
  functions: true,
  types: true,
  others: true,
};

export interface SourceQuery {
  /** FILE.EXPORT of src/postgres/catalog. */
  readonly name: string;
  readonly query: Sql;
  readonly row: z.ZodType;
  /** The first major that is asked it; the ones before do not have what it asks for. */
  readonly from?: number;
  /** The last major that is asked it. */
  readonly to?: number;
  /** A major whose server here cannot answer. */
  readonly except?: number;
}

const OURS = 'pgconvoy%';
const TABLE = { oid: 1, schema: 'odd "s"', name: 'odd %t' };
const KEY = { kind: 'test', database: 'd', object: 'o' };
const COMPARED = {
  table: { schema: 'public', name: 'sample', columns: ['id', 'Odd "c"', 'price'], types: [23, 25, 701], bytes: 0 },
  bytes: 0,
};
const RANGE = { ...COMPARED, range: { column: 'id', type: 'integer', from: '1', to: '7' } };
const COMPARED_KEY = { columns: ['id'], types: ['integer'] };
const WRITING = { checksum: 'md5', recoded: true, floatBits: true } as const;
const NOTHING = z.unknown();
/** Its package has control files of extensions that it does not understand itself. */
const NOT_ON_OUR_10 = { except: 10 };

const ask = (
  name: string,
  query: Sql,
  row: z.ZodType,
  range: Pick<SourceQuery, 'from' | 'to' | 'except'> = {},
): SourceQuery => ({
  name,
  query,
  row,
  ...range,
});

/** Every query of src/postgres/catalog that is sent to a source, with values that fit a database with the table `sample`. */
export const sourceQueries = (database: string): SourceQuery[] => [
  ask('comparison.comparableTables', comparison.comparableTables(), comparison.ComparableTable),
  ask('comparison.writingProbe', comparison.writingProbe(), comparison.WritingProbe),
  ask('comparison.comparingSession', comparison.comparingSession({ floatBits: true }), NOTHING),
  ask('comparison.pieceSums', comparison.pieceSums([COMPARED, RANGE], WRITING), comparison.PieceSum),
  ask('comparison.pieceSums', comparison.pieceSums([COMPARED], { ...WRITING, checksum: 'none' }), comparison.PieceSum),
  ask('comparison.tableKeys', comparison.tableKeys([COMPARED.table]), comparison.TableKey),
  ask('comparison.keyBounds', comparison.keyBounds(COMPARED.table, 'id', 4), comparison.KeyBounds),
  ask('comparison.bucketSums', comparison.bucketSums(RANGE, COMPARED_KEY, 64, WRITING), comparison.BucketSum),
  ask(
    'comparison.bucketRows',
    comparison.bucketRows(COMPARED, undefined, { buckets: 2, wanted: [0, 1] }, WRITING),
    comparison.ComparedRow,
  ),
  ask(
    'comparison.rowsByKey',
    comparison.rowsByKey(COMPARED.table, COMPARED_KEY, [{ key: ['1'], number: '1' }], WRITING),
    comparison.ComparedRow,
  ),
  ask('comparison.rewrittenTables', comparison.rewrittenTables(), comparison.RewrittenTable),
  ask('contents.alwaysTriggers', contents.alwaysTriggers(), contents.Trigger),
  ask('contents.eventTriggers', contents.eventTriggers(), contents.Named),
  ask('contents.functionsWithoutSearchPath', contents.functionsWithoutSearchPath(), contents.LooseFunction),
  ask('contents.invalidIndexes', contents.invalidIndexes(), contents.IndexOfTable),
  ask('contents.notValidConstraints', contents.notValidConstraints(), contents.IndexOfTable),
  ask('contents.foreignServers', contents.foreignServers(), contents.ForeignServer),
  ask('contents.largeObjects', contents.largeObjects(), contents.Amount),
  ask('contents.filledMaterializedViews', contents.filledMaterializedViews(), contents.Amount),
  ask('contents.tablesWithOids', contents.tablesWithOids(), contents.Named),
  ask('contents.columnsOfRemovedTypes', contents.columnsOfRemovedTypes(), contents.TypedColumn),
  ask('contents.otherPublications', contents.otherPublications('pgconvoy'), contents.Named),
  ask(
    'database-definitions.databaseDefinition',
    databaseDefinitions.databaseDefinition(database),
    databaseDefinitions.DatabaseDefinition,
  ),
  ask(
    'database-definitions.databaseDefinitions',
    databaseDefinitions.databaseDefinitions([database, 'postgres']),
    databaseDefinitions.DatabaseDefinition,
  ),
  ask(
    'database-definitions.databasePrivileges',
    databaseDefinitions.databasePrivileges(database, null),
    databaseDefinitions.DatabasePrivilege,
  ),
  ask(
    'database-definitions.privilegesByAcl',
    databaseDefinitions.privilegesByAcl(new Map([[database, null]])),
    databaseDefinitions.PrivilegeOnDatabase,
  ),
  ask(
    'database-definitions.aclNamedNow',
    databaseDefinitions.aclNamedNow('{=c/postgres,a=CTc/postgres}', new Map([['a', 'b']]), ['gone']),
    databaseDefinitions.AclNamedNow,
  ),
  ask(
    'roles-of-databases.rolesOfDatabases',
    rolesOfDatabases.rolesOfDatabases([database]),
    rolesOfDatabases.RoleOfDatabase,
  ),
  ask('roles-of-databases.rolesByOid', rolesOfDatabases.rolesByOid(['10']), rolesOfDatabases.RoleByOid),
  ask('database-facts.databaseLocale', databaseFacts.databaseLocale(database), databaseFacts.DatabaseLocale),
  ask('database-facts.objectsInOurSchema', databaseFacts.objectsInOurSchema(), databaseFacts.StrayObject),
  ask('deferred-triggers.deferredTriggers', deferredTriggers.deferredTriggers(), deferredTriggers.DeferredTrigger),
  ask('deferred-triggers.eventTriggers', deferredTriggers.eventTriggers(), deferredTriggers.EventTrigger),
  ask('extensions.installedExtensions', extensions.installedExtensions(), extensions.InstalledExtension),
  ask('extensions.configTables', extensions.configTables(), extensions.ConfigTable),
  ask(
    'extensions.filledConfigTables',
    extensions.filledConfigTables([{ extension: 'x', schema: 'public', name: 'sample', condition: 'where "id" > 0' }]),
    extensions.FilledTable,
  ),
  ask('fence.fenceStates', fence.fenceStates([database]), fence.FenceState),
  ask('fence.sessionStarts', fence.sessionStarts([database]), fence.SessionStart),
  ask('fence.endSessions', fence.endSessions([database], 'pgconvoy_replication'), fence.EndedSession),
  ask('fence.endSessionsBut', fence.endSessionsBut(['nobody'], 'pgconvoy_replication'), fence.EndedSession),
  ask('fence.remainingWriters', fence.remainingWriters([database]), fence.RemainingWriter),
  ask('ways-to-write.waysToWrite', waysToWrite.waysToWrite([database]), waysToWrite.WayToWrite),
  ask('ways-to-write.largeObjectMakers', waysToWrite.largeObjectMakers(), waysToWrite.LargeObjectMaker),
  ask('fence.entryVersions', fence.entryVersions([database]), fence.EntryVersion),
  ask('fence.walMarker', fence.walMarker(), z.object({ lsn: z.string() })),
  ask('fingerprint.kindsRow', fingerprint.kindsRow(), fingerprint.Kinds),
  ask('fingerprint.fingerprintRows', fingerprint.fingerprintRows(EVERY_KIND), fingerprint.FingerprintRow),
  ask('fingerprint.probeRow', fingerprint.probeRow(), fingerprint.Probe),
  ask('greeting.greeting', greeting.greeting(), greeting.Greeting),
  ask('identities.identityCandidates', identities.identityCandidates(), identities.IdentityCandidate),
  ask('identities.incomparableColumns', identities.incomparableColumns(), identities.IncomparableColumns),
  ask('indexed-tables.indexedTables', indexedTables.indexedTables(), indexedTables.IndexedTable),
  ask('inventory.schemaInventory', inventory.schemaInventory(), inventory.InventoryItem),
  ask('inventory.lateInventory', inventory.lateInventory(), inventory.InventoryItem),
  ask('inventory.described', inventory.described(), inventory.Described),
  ask('inventory.identityIndexes', inventory.identityIndexes(), inventory.IdentityIndex),
  ask('large-objects.scanLargeObjects', largeObjects.scanLargeObjects({ moment: '3' }), largeObjects.LargeObjectScan),
  ask('large-objects.scanLargeObjects', largeObjects.scanLargeObjects('ever'), largeObjects.LargeObjectScan),
  ask('large-objects.momentNow', largeObjects.momentNow(), largeObjects.Moment),
  ask('large-objects.largeObjects', largeObjects.largeObjects([1, 4_294_967_295]), largeObjects.LargeObject),
  ask('large-objects.largeObjectIds', largeObjects.largeObjectIds(7, 2), largeObjects.LargeObjectId),
  ask('large-objects.largeObjectSums', largeObjects.largeObjectSums([1, 2]), largeObjects.LargeObjectSum),
  ask('large-objects.largeObjectSizes', largeObjects.largeObjectSizes([1, 2]), largeObjects.LargeObjectSize),
  ask('ledger-notes.ledgerExists', ledgerNotes.ledgerExists(), ledgerNotes.Found),
  ask('ledger-notes.ledgerTable', ledgerNotes.ledgerTable(), NOTHING),
  ask('ledger-notes.recordNote', ledgerNotes.recordNote(KEY, { a: 1 }), NOTHING),
  ask('ledger-notes.replaceNote', ledgerNotes.replaceNote(KEY, { a: 2 }), NOTHING),
  ask('ledger-notes.replaceNotes', ledgerNotes.replaceNotes('test', new Map([['a', { a: 3 }]])), NOTHING),
  ask('ledger-notes.notesOn', ledgerNotes.notesOn(['a'], ['test']), ledgerNotes.LedgerEntry),
  ask('ledger-notes.lockedNotes', ledgerNotes.lockedNotes('test', ['a']), ledgerNotes.LedgerEntry),
  ask('ledger-notes.notes', ledgerNotes.notes('test'), ledgerNotes.LedgerEntry),
  ask('ledger-notes.lockedNote', ledgerNotes.lockedNote(KEY), ledgerNotes.LedgerEntry),
  ask('agreement.fencesAsNoted', agreement.fencesAsNoted('7', [database]), agreement.FenceAsNoted),
  ask('agreement.pausesAsNoted', agreement.pausesAsNoted('7'), agreement.PauseAsNoted),
  ask('agreement.givenBackAsNoted', agreement.givenBackAsNoted(), agreement.GivenBackAsNoted),
  ask('agreement.forgetGivenBack', agreement.forgetGivenBack('test', [database]), NOTHING),
  ask('agreement.decideToOpen', agreement.decideToOpen([database], { run: 'test', on: '7' }), NOTHING),
  ask('ledger-notes.forgetNotes', ledgerNotes.forgetNotes('test', ['a']), NOTHING),
  ask('ledger-notes.forgetNote', ledgerNotes.forgetNote(KEY), NOTHING),
  ask('listed-databases.listedDatabases', listedDatabases.listedDatabases(), listedDatabases.ListedDatabase),
  ask('listed-databases.holdsUserObjects', listedDatabases.holdsUserObjects(), listedDatabases.HoldsUserObjects),
  ask('listed-databases.serverState', listedDatabases.serverState(), listedDatabases.ServerState),
  ask(
    'materialized-views.materializedViews',
    materializedViews.materializedViews(),
    materializedViews.MaterializedView,
  ),
  ask('pglogical.pglogicalWorkers', pglogical.pglogicalWorkers([database]), pglogical.Count),
  ask('pglogical.pglogicalServer', pglogical.pglogicalServer(), pglogical.PglogicalServer, NOT_ON_OUR_10),
  ask('pglogical.generatedColumns', pglogical.generatedColumns(), pglogical.TableColumns),
  ask('pglogical.deferrableKeys', pglogical.deferrableKeys(), pglogical.TableIndex),
  ask('pglogical.foreignKeys', pglogical.foreignKeys(), pglogical.Count),
  ask('replication-lag.slotLags', replicationLag.slotLags(OURS), replicationLag.SlotLag),
  ask('replication-use.replicationUse', replicationUse.replicationUse(OURS), replicationUse.ReplicationUse),
  ask('replication-use.replicationRole', replicationUse.replicationRole(OURS), replicationUse.ReplicationRole),
  ask('replication-use.otherSlots', replicationUse.otherSlots(OURS), replicationUse.ReplicationSlot),
  ask('replication-use.otherSubscriptions', replicationUse.otherSubscriptions(OURS), replicationUse.Subscription),
  ask('role-attributes.roleAttributes', roleAttributes.roleAttributes(OURS), roleAttributes.RoleAttributes),
  ask('role-attributes.rolesWithMd5Password', roleAttributes.rolesWithMd5Password(OURS), roleAttributes.RoleName),
  ask('role-definitions.roleDefinitions', roleDefinitions.roleDefinitions(), roleDefinitions.RoleDefinition),
  ask('role-definitions.roleMemberships', roleDefinitions.roleMemberships(), roleDefinitions.RoleMembership),
  ask('sequences.userSequences', sequences.userSequences(), sequences.SequenceName),
  ask(
    'sequences.sequenceValues',
    sequences.sequenceValues([{ schema: 'public', name: 'sample_id_seq' }]),
    sequences.SequenceValue,
  ),
  ask('server-life.serverLife', serverLife.serverLife(), serverLife.ServerLife),
  ask('server.clusterIdentity', server.clusterIdentity(), server.ClusterIdentity),
  ask('server.session', server.session(), server.Session),
  ask('server.hostRules', server.hostRules(), server.HostRule, { from: 10 }),
  ask('server.hbaPath', server.hbaPath(), server.HbaPath),
  ask('server.tablespaces', server.tablespaces(), server.Tablespace),
  ask(
    'sessions-in-database.sessionsInDatabase',
    sessionsInDatabase.sessionsInDatabase(database),
    sessionsInDatabase.SessionsInDatabase,
  ),
  ask('sessions.sessionsInUse', sessions.sessionsInUse(), sessions.Sessions),
  ask('sessions.roomForSessions', sessions.roomForSessions(), sessions.Room),
  ask('settings.settingsNamed', settings.settingsNamed(['wal_level', 'max_wal_senders']), settings.Setting),
  ask('settings.databaseSettingNames', settings.databaseSettingNames(), settings.DatabaseSetting),
  ask('surrogate-keys.surrogateObstacles', surrogateKeys.surrogateObstacles(), surrogateKeys.SurrogateObstacle),
  ask('surrogate-keys.surrogateState', surrogateKeys.surrogateState(TABLE.oid), surrogateKeys.SurrogateState),
  ask('surrogate-keys.surrogateTables', surrogateKeys.surrogateTables(), surrogateKeys.SurrogateTable),
  ask('tables.userTables', tables.userTables(), tables.UserTable),
  ask('tables.identifiedTables', tables.identifiedTables(), tables.UserTable),
  ask('tables.namedTables', tables.namedTables(), tables.NamedTable),
  ask('server-log.logHabits', serverLog.logHabits(), serverLog.LogHabits),
  ask('server-log.logEnd', serverLog.logEnd('stderr', 100), serverLog.LogEnd),
  ask('wal-disk.walPlace', walDisk.walPlace(), walDisk.WalPlace),
  ask('transactions.writeTransactions', transactions.writeTransactions(), transactions.WriteTransaction),
  ask('transactions.openTransactions', transactions.openTransactions(), NOTHING),
  ask('unreplicated.unreplicatedKinds', unreplicated.unreplicatedKinds(), unreplicated.Unreplicated),
  ask('unreplicated.unloggedTables', unreplicated.unloggedTables(), unreplicated.UnloggedTable),
  ask('unreplicated.extensionTables', unreplicated.extensionTables(), unreplicated.ExtensionTable),
  ask(
    'unreplicated.rowSums',
    unreplicated.rowSums([
      { schema: 'public', name: 'sample', columns: ['id', 'Odd "c"'], condition: 'where "id" > 0' },
    ]),
    unreplicated.RowSum,
  ),
];

/** DDL of `fix`: only read here, since each of them changes the table. */
export const sourceStatements = (major: number): SourceQuery[] =>
  [
    ...surrogateKeys.createSurrogateSequence(TABLE, 'Odd "owner"'),
    ...surrogateKeys.addFilledColumn(TABLE, false),
    ...surrogateKeys.addEmptyColumn(TABLE),
    surrogateKeys.fillPages(TABLE, major, { from: 0, most: 2, itemsPerPage: 2 }).statement,
    surrogateKeys.fillRest(TABLE, major, 10),
    surrogateKeys.createSurrogateIndex(TABLE),
    surrogateKeys.dropSurrogateIndex(TABLE),
    surrogateKeys.forbidEmpty(TABLE),
    surrogateKeys.validateNotEmpty(TABLE),
    ...surrogateKeys.makeKey(TABLE, false),
    surrogateKeys.dropSurrogateColumn(TABLE),
  ].map((query) => ask('surrogate-keys statements', query, NOTHING));

/** What else src/postgres/catalog exports: only for targets, or no query of its own. */
export const OTHER_EXPORTS: readonly string[] = [
  'database-definitions.presentPrivileges',
  'database-definitions.privilegesPerDatabase',
  'database-definitions.privilegesWithout',
  'database-definitions.userObjects',
  'database-facts.temporaryCollationVersion',
  'deferred-triggers.triggerStates',
  'extensions.availableExtensions',
  'fingerprint.catalogProbe',
  'fingerprint.fingerprint',
  'fingerprint.partKey',
  'fingerprint.partOfKey',
  'inventory.inventoryDifference',
  'large-objects.copyPagesIn',
  'large-objects.copyPagesOut',
  'large-objects.makeLargeObjects',
  'large-objects.numberList',
  'large-objects.removeLargeObjects',
  'large-objects.removePages',
  'pglogical.targetDatabases',
  'replication-lag.subscriptionWorkers',
  'replication-lag.workerUse',
  'replication-use.subscriptionsOf',
  'role-definitions.droppableRoles',
  'sequences.setSequences',
  'settings.unknownSettings',
  'surrogate-keys.addEmptyColumn',
  'surrogate-keys.addFilledColumn',
  'surrogate-keys.createSurrogateIndex',
  'surrogate-keys.createSurrogateSequence',
  'surrogate-keys.dropSurrogateColumn',
  'surrogate-keys.dropSurrogateIndex',
  'surrogate-keys.fillPages',
  'surrogate-keys.fillRest',
  'surrogate-keys.forbidEmpty',
  'surrogate-keys.isSurrogateIndex',
  'surrogate-keys.makeKey',
  'surrogate-keys.validateNotEmpty',
  'tables.isReplicated',
  'tables.tableBytes',
  'transactions.describeTransaction',
  'transactions.endingOf',
  'unanalyzed-tables.unanalyzedTables',
  'undroppable.dropHangs',
  'unreplicated.copyExtensionRowsIn',
  'unreplicated.copyExtensionRowsOut',
  'unreplicated.referencedTables',
  'unreplicated.removeExtensionRows',
  'ways-to-write.giveBackMakers',
  'ways-to-write.withdrawMakers',
];
