import { errorText } from '../../errors.ts';
import { schemaKey, SchemaNote } from '../../operations/schema/schema-state.ts';
import { fenceKey } from '../../operations/cutover/fence.ts';
import { openedDatabases } from '../../operations/cutover/opened.ts';
import { databaseKey } from '../../operations/databases/create-database.ts';
import { givenUpDatabases } from '../../operations/replication/given-up.ts';
import { secretKey } from '../../operations/replication/secret.ts';
import { ListedDatabase, listedDatabases, ServerState, serverState } from '../../postgres/catalog/listed-databases.ts';
import { WorkerUse, workerUse } from '../../postgres/catalog/replication-lag.ts';
import { ReplicationRole, replicationRole } from '../../postgres/catalog/replication-use.ts';
import type { BoundCluster } from '../../postgres/cluster.ts';
import { Ledger } from '../../postgres/ledger.ts';
import type { ReplicationEngine, SubscriptionOverview } from '../../replication/engine.ts';
import { isCanary } from '../../replication/names.ts';
import { nativeEngine } from '../../replication/native.ts';
import { mayTakePart } from '../databases.ts';
import type { Clusters } from '../context.ts';
import { engineOf } from '../engine.ts';
import { readApplyErrors } from '../../operations/replication/apply-errors.ts';
import { judge, mayFail } from './judge.ts';
import type { Seen } from './judge.ts';
import { readClosely } from './read-closely.ts';
import { readSlots } from './read-slots.ts';
import type { TimedSlot } from './read-slots.ts';
import type { ClusterStatus, DatabaseSetup, ServerStatus } from './types.ts';

/** What one session on the source tells of all databases. */
interface SourceFacts {
  readonly server: ServerState;
  /** All that accept connections. */
  readonly databases: ReadonlySet<string>;
  readonly takingPart: readonly string[];
  readonly slots: ReadonlyMap<string, TimedSlot>;
  readonly fenced: ReadonlySet<string>;
  readonly role: boolean;
  readonly givenUp: ReadonlyMap<string, string>;
}

/** What one session on the target tells of all databases. */
interface TargetFacts {
  readonly server: ServerState;
  readonly databases: ReadonlySet<string>;
  readonly ours: ReadonlySet<string>;
  readonly schemas: ReadonlyMap<string, 'begun' | 'complete'>;
  readonly opened: ReadonlySet<string>;
  readonly secret: boolean;
  /** Of their way back. */
  readonly givenUp: ReadonlyMap<string, string>;
  readonly subscriptions: ReadonlyMap<string, SubscriptionOverview>;
  readonly workers: WorkerUse | undefined;
}

/** Whether its worker has failed since somebody looked, by how often it has so far: then what it said is read even if it runs again. */
type HasFailed = (database: string, failures: number) => boolean;

/**
 * Where every database stands, on both sides: one session on each for all of them, and a few more for those that are being copied (`inCopy`,
 * and those whose tables are being copied right now) and those that wait for start. Never throws for a server that is away.
 */
export async function readStatus(
  clusters: Clusters,
  signal: AbortSignal,
  inCopy: readonly string[] = [],
  hasFailed: HasFailed = () => false,
): Promise<ClusterStatus> {
  const binding = { applicationName: 'pgconvoy/status', signal };
  const both = { source: clusters.source.bind(binding), target: clusters.target.bind(binding) };
  try {
    const engine = await engineOf(clusters, signal).catch(() => undefined);
    const [source, target] = await Promise.allSettled([
      readSource(both.source, clusters),
      readTarget(both.target, clusters, engine),
    ]);
    const facts = {
      source: source.status === 'fulfilled' ? source.value : undefined,
      target: target.status === 'fulfilled' ? target.value : undefined,
    };
    return {
      configuration: configurationOf(clusters, engine, facts),
      databases: await databasesOf(both, engine, facts, inCopy, await readBack(both, engine, facts.target), hasFailed),
      unreachable: [
        ...(source.status === 'rejected' ? [{ side: 'source' as const, message: errorText(source.reason) }] : []),
        ...(target.status === 'rejected' ? [{ side: 'target' as const, message: errorText(target.reason) }] : []),
      ],
    };
  } finally {
    await Promise.all([both.source.close(), both.target.close()]);
  }
}

interface Facts {
  readonly source: SourceFacts | undefined;
  readonly target: TargetFacts | undefined;
}

async function readSource(source: BoundCluster, { settings }: Clusters): Promise<SourceFacts> {
  const { maintenance } = source;
  const server = await maintenance.one(ServerState, serverState());
  const listed = await maintenance.many(ListedDatabase, listedDatabases());
  const ledger = new Ledger(source);
  const { role } = settings.replication;
  return {
    server,
    databases: usable(listed),
    takingPart: listed.filter((database) => mayTakePart(database, settings.databases)).map(({ name }) => name),
    fenced: new Set((await ledger.entries(fenceKey('').kind)).map(({ database }) => database)),
    role: (await maintenance.maybe(ReplicationRole, replicationRole(role))) !== undefined,
    slots: await readSlots(source),
    givenUp: await givenUpDatabases(ledger),
  };
}

async function readTarget(
  target: BoundCluster,
  { settings }: Clusters,
  engine: ReplicationEngine | undefined,
): Promise<TargetFacts> {
  const { maintenance } = target;
  const server = await maintenance.one(ServerState, serverState());
  const databases = usable(await maintenance.many(ListedDatabase, listedDatabases()));
  const ledger = new Ledger(target);
  const ours = (await ledger.entries(databaseKey('').kind)).map(({ database }) => database);
  const opened = await openedDatabases(ledger, target);
  const schemas = await ledger.entries(schemaKey('').kind);
  const subscriptions = await (engine ?? nativeEngine).overview(target, ours);
  return {
    server,
    databases,
    ours: new Set(ours),
    opened: new Set(opened.keys()),
    schemas: new Map(
      schemas.map(({ database, before }) => [database, SchemaNote.parse(before).complete ? 'complete' : 'begun']),
    ),
    secret: (await ledger.find(secretKey(settings.replication.role))) !== undefined,
    givenUp: await givenUpDatabases(ledger),
    subscriptions: new Map(subscriptions.map((one) => [one.database, one])),
    workers: (engine ?? nativeEngine).name === 'native' ? await maintenance.one(WorkerUse, workerUse()) : undefined,
  };
}

/** What travels back, where a database was switched over. */
interface Back {
  readonly slots: ReadonlyMap<string, TimedSlot>;
  readonly subscriptions: ReadonlyMap<string, SubscriptionOverview>;
}

async function readBack(
  { source, target }: Readonly<Record<'source' | 'target', BoundCluster>>,
  engine: ReplicationEngine | undefined,
  facts: TargetFacts | undefined,
): Promise<Back> {
  const opened = [...(facts?.opened ?? [])];
  if (opened.length === 0) return { slots: new Map(), subscriptions: new Map() };
  const [slots, subscriptions] = await Promise.all([
    readSlots(target),
    // A source that is away is told elsewhere.
    (engine ?? nativeEngine).overview(source, opened).catch(() => []),
  ]);
  return { slots, subscriptions: new Map(subscriptions.map((one) => [one.database, one])) };
}

const usable = (listed: readonly ListedDatabase[]): ReadonlySet<string> =>
  new Set(listed.filter(({ connectable, invalid }) => connectable && !invalid).map(({ name }) => name));

function configurationOf(
  { source, target, settings }: Clusters,
  engine: ReplicationEngine | undefined,
  facts: Facts,
): ClusterStatus['configuration'] {
  const known = facts.source && facts.target;
  const server = ({ address: { host, port } }: Clusters['source'], state: ServerState | undefined): ServerStatus => ({
    address: host.startsWith('/') ? `${host}, port ${port}` : `${host}:${port}`,
    ...(state ? { version: state.version } : {}),
  });
  return {
    ...(engine ? { engine: engine.name } : {}),
    role: {
      name: settings.replication.role,
      ...(known ? { ready: facts.source.role && facts.target.secret } : {}),
    },
    source: server(source, facts.source?.server),
    target: server(target, facts.target?.server),
  };
}

async function databasesOf(
  both: { readonly source: BoundCluster; readonly target: BoundCluster },
  engine: ReplicationEngine | undefined,
  { source, target }: Facts,
  inCopy: readonly string[],
  back: Back,
  hasFailed: HasFailed,
): Promise<ClusterStatus['databases']> {
  const names = [
    ...new Set([
      ...(source?.takingPart ?? []),
      ...(source?.slots.keys() ?? []),
      ...(target?.subscriptions.keys() ?? []),
      ...(target?.ours ?? []),
      ...back.slots.keys(),
    ]),
  ].filter((name) => !isCanary(name));
  const seen = names.sort().map((database) => ({ database, setup: setupOf(database, { source, target }) }));
  const { tables, published } = await readClosely(both, engine, {
    copying: names.filter((name) => {
      const subscription = target?.subscriptions.get(name);
      return subscription !== undefined && (subscription.copying > 0 || inCopy.includes(name));
    }),
    waiting: seen.filter(({ setup }) => waitsForStart(setup)).map(({ database }) => database),
  });
  const views = seen.map(({ database, setup }): Seen => {
    const isBack = setup.target.opened;
    const slot = (isBack ? back.slots : source?.slots)?.get(database);
    const isPublished = published.get(database);
    return {
      database,
      setup: isPublished === undefined ? setup : { ...setup, source: { ...setup.source, published: isPublished } },
      slot: slot?.slot,
      lagSeconds: slot?.lagSeconds,
      subscription: (isBack ? back.subscriptions : target?.subscriptions)?.get(database),
      tables: tables.get(database),
      workers: target?.workers,
      inCopy: inCopy.includes(database),
      known: { source: source !== undefined, target: target !== undefined },
      givenUp: (isBack ? target : source)?.givenUp.get(database),
    };
  });
  const failing = views.filter((view) => mayFail(view) || hasFailed(view.database, failuresOf(view)));
  const [forth, backwards] = await Promise.all(
    [false, true].map((isBack) =>
      readApplyErrors(
        isBack ? both.source : both.target,
        failing.filter(({ setup }) => setup.target.opened === isBack).map(({ database }) => database),
      ),
    ),
  );
  return views.map((view) =>
    judge({ ...view, failure: (view.setup.target.opened ? backwards : forth)?.get(view.database) }),
  );
}

const failuresOf = ({ subscription }: Seen): number =>
  (subscription?.errors?.applying ?? 0) + (subscription?.errors?.copying ?? 0);

function setupOf(database: string, { source, target }: Facts): DatabaseSetup {
  return {
    source: {
      exists: source?.databases.has(database) ?? false,
      slot: source?.slots.has(database) ?? false,
      fenced: source?.fenced.has(database) ?? false,
    },
    target: {
      exists: target?.databases.has(database) ?? false,
      ours: target?.ours.has(database) ?? false,
      schema: target?.schemas.get(database) ?? 'nothing',
      subscription: target?.subscriptions.has(database) ?? false,
      opened: target?.opened.has(database) ?? false,
    },
  };
}

/** Its schema has been begun and there is no slot yet: only the database itself knows whether it is published. */
const waitsForStart = ({ source, target }: DatabaseSetup): boolean =>
  source.exists && !source.slot && target.ours && target.schema !== 'nothing' && !target.opened;
