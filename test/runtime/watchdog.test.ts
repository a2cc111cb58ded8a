import { afterAll, beforeAll, expect, test } from 'vitest';
import { Config } from '../../src/config/schema.ts';
import type { ConfigInput } from '../../src/config/schema.ts';
import { eachDatabase } from '../../src/engine/workflow.ts';
import { runOperation } from '../../src/engine/run-operation.ts';
import { createLogger } from '../../src/log.ts';
import { readApplyErrors } from '../../src/operations/replication/apply-errors.ts';
import { awaitCatchUp } from '../../src/operations/replication/await-catch-up.ts';
import { copySnapshot } from '../../src/operations/replication/copy-snapshot.ts';
import { copyTables } from '../../src/operations/replication/copy-tables.ts';
import { createSubscription } from '../../src/operations/replication/create-subscription.ts';
import { pairOf } from '../../src/operations/replication/pair.ts';
import { swapped } from '../../src/operations/replication/way-back.ts';
import { Cluster as ReachedCluster } from '../../src/postgres/cluster.ts';
import { lit, sql } from '../../src/postgres/sql.ts';
import { readLag } from '../../src/queue/lag-record.ts';
import type { Notice } from '../../src/queue/notices.ts';
import { readWatch } from '../../src/queue/watch-record.ts';
import { slotName } from '../../src/replication/names.ts';
import { readStatus } from '../../src/runtime/status/read-status.ts';
import { startWatchdog, Watcher } from '../../src/runtime/watchdog/watchdog.ts';
import type { Clusters } from '../../src/runtime/context.ts';
import { TestPair } from '../helpers/pair.ts';
import { openQueueDatabase } from '../helpers/queue-database.ts';
import { schemaOnBothSides, walkTo } from '../helpers/streaming.ts';
import { startCluster } from '../helpers/servers.ts';
import type { Cluster } from '../helpers/servers.ts';
import { eventually as soon } from '../helpers/wait.ts';
import { databases, openWorld, stepOf } from '../queue/world.ts';
import type { World } from '../queue/world.ts';

let pair: TestPair;
let world: World;
let one: string;
let other: string;
const own: Cluster[] = [];
beforeAll(async () => {
  // Servers that write their logs themselves, and start a worker that has failed again soon.
  const settings = { logging_collector: true, wal_retrieve_retry_interval: '500ms' };
  const [source, target] = await Promise.all([
    startCluster({ major: 15, settings: { ...settings, log_destination: 'csvlog' } }),
    startCluster({ major: 18, settings: { ...settings, log_destination: 'jsonlog' } }),
  ]);
  own.push(source, target);
  [pair, world] = await Promise.all([TestPair.open({ source, target }), openWorld()]);
  one = await schemaOnBothSides(pair, 'My "odd" DB', 'create table t (id int primary key)');
  other = await schemaOnBothSides(pair, 'other, 100%', 'create table t (id int primary key)');
  for (const database of [one, other]) await walkTo(pair, database, 'await-catch-up');
});
afterAll(async () => {
  await Promise.allSettled([pair[Symbol.asyncDispose](), world[Symbol.asyncDispose]()]);
  await Promise.all(own.map((cluster) => cluster.stop()));
});

/** A loaded machine takes its time. */
const eventually = <T>(attempt: () => T | Promise<T>) => soon(attempt, { timeoutMs: 40_000 });

const told: Notice[] = [];
const logged: string[] = [];
const request = (config: ConfigInput['watchdog'], clusters: Clusters = pair.clusters) => ({
  // Other files have databases of theirs on the same servers.
  clusters: { ...clusters, settings: { ...clusters.settings, databases: { include: [one, other], exclude: [] } } },
  queues: world.queues,
  config: Config.shape.watchdog.parse({ ...config, policy: { drift: 'ignore', ...config?.policy } }),
  worker: 'here',
  tell: async (notice: Notice) => void told.push(notice),
  log: createLogger('debug', { write: (line: string) => void logged.push(line) }),
  signal: new AbortController().signal,
});
const seen = async () => (await readWatch(world.queues))!;
const found = async (database = one) => (await seen()).findings.filter((finding) => finding.database === database);
const stateOf = async (database: string) =>
  (await readStatus(pair.clusters, new AbortController().signal)).databases.find((each) => each.database === database);
const slots = async (database: string) =>
  pair.query(
    'source',
    database,
    `select 1 from pg_replication_slots where slot_name = ${lit(slotName(database)).text}`,
  );

/** As libpq reads it. */
const quoted = (value: string) => `'${value.replaceAll(/[\\']/g, String.raw`\$&`)}'`;

test('one of two looks, keeps what it finds, and tells of a danger once', async () => {
  const first = request({ every: '100ms', mostRetained: '0kB', policy: { retained: 'pause-copying' } });
  const stops = [new AbortController(), new AbortController()];
  const dogs = stops.map(({ signal }, index) => startWatchdog({ ...first, worker: `worker ${index}`, signal }));
  await eventually(async () => expect(await found(other)).toMatchObject([{ code: 'wal-retained', severity: 'block' }]));
  const { worker, findings } = await seen();
  // Pages that are opened later show it.
  expect((await readLag(world.queues)).at(-1)?.databases).toEqual({
    [one]: [expect.any(Number), expect.toBeOneOf([null, expect.any(Number)]), expect.any(Number)],
    [other]: [expect.any(Number), expect.toBeOneOf([null, expect.any(Number)]), expect.any(Number)],
  });
  const since = findings.find(({ database }) => database === one)?.since;
  const { at } = await seen();
  await eventually(async () => expect((await seen()).at).toBeGreaterThan(at));
  expect(await world.queues.copy.isPaused()).toBe(true);
  expect(await seen()).toMatchObject({ worker, pausesCopying: true });
  expect((await found())[0]?.since).toBe(since);
  expect(told.filter(({ database }) => database === one)).toMatchObject([
    {
      event: 'danger',
      what: `database "${one}" is in danger (wal-retained)`,
      next: expect.stringContaining('pause-copying'),
    },
  ]);

  // Who had the lock goes, and the other one goes on where it was.
  const [gone, stays] = worker === 'worker 0' ? [0, 1] : [1, 0];
  stops[gone]!.abort();
  await dogs[gone]!.ended;
  await eventually(async () => expect((await seen()).worker).toBe(`worker ${stays}`));
  expect((await found())[0]?.since).toBe(since);
  stops[stays]!.abort();
  await dogs[stays]!.ended;
  expect(told.filter(({ database }) => database === one)).toHaveLength(1);

  await startWatchdog(request({ enabled: false })).ended;
  expect(await world.queues.copy.isPaused()).toBe(false);
});

test('transactions that hold back slots, and changes that cannot be applied', async () => {
  const watcher = new Watcher(request({ transactionAfter: '0ms', stalledAfter: '0ms' }));
  await watcher.look();
  await pair.query('target', one, 'insert into t values (7)');
  await pair.query('source', one, 'insert into t values (7)');
  const { source } = pair.context(other);
  await source.transaction(async () => {
    await source.run(sql`create table public.held ()`);
    await watcher.look();
  });
  expect((await seen()).findings).toContainEqual(
    expect.objectContaining({ code: 'long-transaction', remedy: expect.stringContaining('pg_terminate_backend') }),
  );
  await eventually(async () => {
    await watcher.look();
    expect(await found()).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          code: 'apply-errors',
          side: 'target',
          message: expect.stringMatching(
            /conflict insert_exists .*conflict detected on relation "public.t": conflict=insert_exists .*\(id\)=\(7\)/,
          ),
        }),
      ]),
    );
  });
  expect(told.at(-1)?.why).toMatch(/conflict detected on relation "public.t"/);
  await eventually(async () =>
    expect(await stateOf(one)).toMatchObject({
      state: 'down',
      reason: expect.stringMatching(/so far\): conflict detected on relation "public.t".* replication target relation/),
    }),
  );
  await eventually(async () => {
    await watcher.look();
    expect((await found()).map(({ code }) => code)).toContain('replication-stalled');
  });
  await pair.query('target', one, 'delete from t');
  await eventually(async () => {
    await watcher.look();
    expect(await found()).toEqual([]);
  });
});

test.each(['csvlog', 'stderr'])('what a worker of 15 has said last is read from %s', async (format) => {
  const database = await pair.database(`back from ${format}`, 'create table t (id int primary key)', [
    'source',
    'target',
  ]);
  await pair.query('target', database, 'create publication pgconvoy for all tables');
  await pair.query(
    'target',
    database,
    `select pg_create_logical_replication_slot(${lit(slotName(database)).text}, 'pgoutput')`,
  );
  await pair.query('source', database, 'insert into t values (1)');
  await pair.query('target', database, 'insert into t values (1)');
  await pair.query('source', database, `alter system set log_destination = ${format}`);
  await pair.query('source', database, 'select pg_reload_conf()');
  const { host, port, user, password } = pair.target;
  const conninfo = `host=${host} port=${port} user=${user} dbname=${quoted(database)} password=${quoted(password)}`;
  await pair.query(
    'source',
    database,
    `create subscription ${slotName(database)} connection ${lit(conninfo).text} publication pgconvoy with (create_slot = false, copy_data = false)`,
  );
  const bound = pair.clusters.source.bind({ applicationName: 'test', signal: new AbortController().signal });
  try {
    await eventually(async () =>
      expect((await readApplyErrors(bound, [database])).get(database)).toEqual({
        text: expect.stringMatching(
          /^duplicate key value violates unique constraint "t_pkey" \(Key \(id\)=\(1\) already exists\.; .*"public\.t"/,
        ),
      }),
    );
    // On the way back the step that waits for its rows gives the words of the old cluster, which applies them.
    await expect(runOperation(awaitCatchUp, swapped(pair.context(database)))).rejects.toMatchObject({
      message: expect.stringMatching(
        /^source, database .* so the source cannot catch up; its worker has said last: duplicate key value violates/,
      ),
      hint: expect.stringMatching(
        /^Usually an object differs from the target, or somebody has written a row on the source/,
      ),
    });
    expect((await readApplyErrors(bound, ['nobody'])).get('nobody')).toEqual({
      unread: expect.stringContaining('no error'),
    });
  } finally {
    await bound.close();
    await pair.query('source', database, `alter subscription ${slotName(database)} disable`);
  }
});

test('a copy that does not come on says why', async () => {
  const database = await schemaOnBothSides(
    pair,
    'no room for it',
    'create table t (id int primary key)',
    'insert into t values (1)',
  );
  await pair.query('target', database, 'alter table t add check (id > 5)');
  await walkTo(pair, database, 'create-subscription');
  const context = pair.context(database);
  await context.engine.enable(pairOf(context));
  await eventually(async () =>
    expect((await readApplyErrors(context.targetCluster, [database])).get(database)).toHaveProperty('text'),
  );
  const { deadlines } = context.settings;
  const impatient = { ...context, settings: { ...context.settings, deadlines: { ...deadlines, copyStall: 2_000 } } };
  await expect(runOperation(copyTables, impatient)).rejects.toMatchObject({
    message: expect.stringMatching(/has not come on for .*has said last: new row for relation "t" violates check/),
    hint: 'Mend what the worker has said, then retry the step.',
  });
  await copyTables.undo!(context);
});

test('where our role may not read the log, it says so', async () => {
  await pair.query('target', one, `create role looker login password 'looks'`);
  const address = { ...pair.clusters.target.address, user: 'looker', password: 'looks' };
  const cluster = new ReachedCluster('target', address, 'postgres');
  const bound = cluster.bind({ applicationName: 'test', signal: new AbortController().signal });
  expect((await readApplyErrors(bound, [one])).get(one)).toEqual({
    unread: expect.stringMatching(
      /^user "looker" may not read it: permission denied for function pg_current_logfile; /,
    ),
  });
  await bound.close();
  await cluster.close();
});

test('a disk that fills up: what keeps most is given up, says so, and is copied anew; also while the target is away', async () => {
  const away = new ReachedCluster('target', { ...pair.clusters.target.address, port: 1 }, 'postgres');
  const policy = { retained: 'give-up' } as const;
  const full = request({ mostRetained: '0kB', policy });
  const status = (await stateOf(one))!;
  expect(status).toMatchObject({ state: 'replicating', slot: { confirmedTo: expect.any(Number) } });
  const watcher = new Watcher(full);
  // One in each look.
  await watcher.look();
  const left = [(await slots(one)).length, (await slots(other)).length];
  expect(left.toSorted()).toEqual([0, 1]);
  const lost = left[0] === 0 ? one : other;
  const kept = lost === one ? other : one;
  expect(await stateOf(lost)).toMatchObject({
    state: 'down',
    reason: expect.stringMatching(
      /^given up by the watchdog at \S+ \S+ UTC, because its slot makes the source keep .*only a new copy helps/,
    ),
    setup: { source: { slot: false }, target: { subscription: false } },
  });
  expect(told.at(-1)).toMatchObject({
    event: 'danger',
    database: lost,
    next: expect.stringContaining('pgconvoy start'),
  });
  await expect(runOperation(createSubscription, pair.context(lost))).rejects.toThrow(
    /is not there \(given up by the watchdog/,
  );

  // Its slot goes although nobody can ask the target.
  await new Watcher(request({ mostRetained: '0kB', policy }, { ...pair.clusters, target: away })).look();
  expect(await slots(kept)).toEqual([]);
  expect(await stateOf(kept)).toMatchObject({ state: 'down', reason: expect.stringMatching(/^given up/) });

  await runOperation(copySnapshot, pair.context(lost));
  await walkTo(pair, lost, 'await-catch-up');
  expect(await stateOf(lost)).toMatchObject({ state: 'replicating' });
  expect((await stateOf(lost))?.reason).toBeUndefined();
}, 60_000);

test('the disk of a server of this machine is known', async () => {
  await new Watcher(request({ leastFree: '8000TB', policy: { disk: 'warn' } })).look();
  expect((await seen()).findings).toEqual(
    expect.arrayContaining([expect.objectContaining({ code: 'disk-low', side: 'source', concern: 'disk' })]),
  );
});

test('with the queue in PostgreSQL copies wait and go on, and one database is given up', async () => {
  await using kept = await openQueueDatabase();
  await using elsewhere = await openWorld({ place: kept.config });
  const look = (config: ConfigInput['watchdog']) =>
    new Watcher({ ...request(config), queues: elsewhere.queues }).look();
  const flow = elsewhere.workflow([eachDatabase(elsewhere.operation('copy-rows', { queue: 'copy' }))]);
  await elsewhere.work(flow);
  await look({ mostRetained: '0kB', policy: { retained: 'pause-copying' } });
  expect(await readWatch(elsewhere.queues)).toMatchObject({ pausesCopying: true });
  const run = await elsewhere.start(flow, databases('a'));
  await elsewhere.until(run, (view) => stepOf(view, 'a', 'copy-rows').state === 'waiting');
  expect(await elsewhere.journal()).toEqual([]);
  await look({});
  await elsewhere.until(run, 'completed');
  expect(await readWatch(elsewhere.queues)).toMatchObject({ pausesCopying: false });

  const left = async () => [...(await slots(one)), ...(await slots(other))].length;
  expect(await left()).toBe(1);
  await look({ mostRetained: '0kB', policy: { retained: 'give-up' } });
  expect(await left()).toBe(0);
});
