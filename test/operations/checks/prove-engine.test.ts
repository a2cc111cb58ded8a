import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import type { Progress } from '../../../src/engine/operation.ts';
import { proveEngine } from '../../../src/operations/checks/prove-engine.ts';
import { openedKey } from '../../../src/operations/cutover/opened.ts';
import { createReplicationRole } from '../../../src/operations/roles/create-replication-role.ts';
import { engineFor } from '../../../src/replication/engines.ts';
import { canaryDatabase, subscriptionName } from '../../../src/replication/names.ts';
import { createLogger } from '../../../src/log.ts';
import { Cluster as SourceCluster } from '../../../src/postgres/cluster.ts';
import type { Side } from '../../../src/postgres/cluster.ts';
import { openContext } from '../../../src/runtime/context.ts';
import { id, lit } from '../../../src/postgres/sql.ts';
import { TestPair } from '../../helpers/pair.ts';
import type { ContextOptions } from '../../helpers/pair.ts';
import { startCluster } from '../../helpers/servers.ts';
import type { Cluster } from '../../helpers/servers.ts';

const canaryOf = (pair: TestPair) => canaryDatabase(pair.clusters.settings.replication.role);

const prove = (pair: TestPair, options: ContextOptions = {}) =>
  runOperation(proveEngine, pair.context(undefined, { ...options, input: options.input ?? { remember: false } }));

/** Whatever of the canary, of the role and of ledgers is in the clusters. */
async function traces(pair: TestPair): Promise<string[]> {
  const { role } = pair.clusters.settings.replication;
  const name = canaryOf(pair);
  const of = async (side: Side) => {
    const { maintenanceDatabase } = pair.clusters[side];
    const rows = await pair.query(
      side,
      maintenanceDatabase,
      `select 'database' as what from pg_database where datname = ${lit(name).text}
       union all select 'role' from pg_roles where rolname = ${lit(role).text}
       union all select 'slot' from pg_replication_slots where database = ${lit(name).text}
       union all select 'subscription' from pg_subscription where subname = ${lit(subscriptionName(name)).text}
       union all select 'ledger' from pg_namespace where nspname = 'pgconvoy'`,
    );
    return rows.map(({ what }) => `${String(what)} on the ${side}`);
  };
  return [...(await of('source')), ...(await of('target'))];
}

describe.each([
  ['native', 10, 18],
  ['native', 13, 15],
  ['native', 15, 18],
  ['pglogical', 13, 18],
] as const)('%s from %i to %i', (engine, source, target) => {
  test('the engine carries a scratch database over and back, and nothing of it stays', async () => {
    await using pair = await TestPair.open({ engine, source, target, settings: { cutover: { reverse: true } } });
    const { changed, output, findings } = await prove(pair);
    expect(findings).toEqual([]);
    expect({ changed, output }).toEqual({ changed: false, output: { engine, proven: 'now', wayBack: 'now' } });
    expect(await traces(pair)).toEqual([]);
  });
});

/** Ends a canary a few milliseconds into one of its steps, as when its worker dies. */
async function kill(pair: TestPair, step: number): Promise<void> {
  const controller = new AbortController();
  const onProgress = ({ done }: Progress) => {
    if (done === step) setTimeout(() => controller.abort(new Error('killed by the test')), 3 * step);
  };
  await expect(prove(pair, { signal: controller.signal, onProgress })).rejects.toThrow('killed by the test');
}

const STEPS = [0, 1, 2, 3, 4, 5];

test('pglogical, killed anywhere: the next one takes away what is left and starts again', async () => {
  await using pair = await TestPair.open({ engine: 'pglogical' });
  for (const step of STEPS) await kill(pair, step);
  expect(await traces(pair)).not.toEqual([]);
  expect((await prove(pair)).output).toEqual({ engine: 'pglogical', proven: 'now' });
  expect(await traces(pair)).toEqual([]);

  // The configuration names another engine by now.
  await kill(pair, 5);
  const native = { ...pair.context(undefined, { input: { remember: false } }), engine: engineFor('native', 13) };
  expect((await runOperation(proveEngine, native)).output).toEqual({ engine: 'native', proven: 'now' });
  expect(await traces(pair)).toEqual([]);
});

test('an old cluster that cannot subscribe is told before a cutover; killed on the way back nothing stays', async () => {
  await using source = await startCluster({ major: 15, settings: { max_logical_replication_workers: 0 } });
  await using pair = await TestPair.open({ source, settings: { cutover: { reverse: true } } });
  await kill(pair, 8);
  const { findings } = await prove(pair);
  expect(findings).toMatchObject([
    {
      code: 'engine-fails',
      severity: 'block',
      side: 'source',
      object: 'replicating INSERT, UPDATE and DELETE back',
      message: expect.stringMatching(
        /^For the way back: The native engine was tried .*max_logical_replication_workers/,
      ),
      remedy: expect.stringMatching(/max_logical_replication_workers on the source[^]*cutover\.reverse: false/),
    },
  ]);
  expect(await traces(pair)).toEqual([]);

  // What setup has made is not changed by a look.
  await runOperation(createReplicationRole, pair.context(undefined));
  expect((await prove(pair)).output).toEqual({ engine: 'native', proven: 'now', wayBack: 'not-tried' });
  expect((await createReplicationRole.check(pair.context(undefined))).holds).toBe(true);
  expect((await createReplicationRole.check(pair.context(undefined, { reversed: true }))).holds).toBe(false);
  await createReplicationRole.undo!(pair.context(undefined));
});

describe('two servers that fit', () => {
  let pair: TestPair;
  beforeAll(async () => {
    pair = await TestPair.open();
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  test('killed anywhere, the next one takes away what is left and starts again; so does undo', async () => {
    for (const step of STEPS) await kill(pair, step);
    expect(await traces(pair)).not.toEqual([]);
    expect((await prove(pair)).output).toEqual({ engine: 'native', proven: 'now' });
    expect(await traces(pair)).toEqual([]);

    await kill(pair, 4);
    const undo = () => proveEngine.undo!(pair.context(undefined));
    expect(await undo()).toBe(true);
    expect(await undo()).toBe(false);
    // The ledger is remove-ledger's.
    expect((await traces(pair)).filter((trace) => !trace.startsWith('ledger'))).toEqual([]);
  });

  test('not asked: nothing is touched', async () => {
    const { output } = await prove(pair, { options: { noCanary: true } });
    expect(output).toEqual({ engine: 'native', proven: 'not-asked' });
  });

  test('the role that setup has made is used and stays; a proof is remembered until undo', async () => {
    await runOperation(createReplicationRole, pair.context(undefined));
    const remembering = async () => (await prove(pair, { input: { remember: true } })).output;
    expect(await remembering()).toEqual({ engine: 'native', proven: 'now' });
    expect(await remembering()).toEqual({ engine: 'native', proven: 'before' });
    // A check proves it whatever was noted.
    expect((await prove(pair)).output).toEqual({ engine: 'native', proven: 'now' });
    expect((await createReplicationRole.check(pair.context(undefined))).holds).toBe(true);

    const { targetLedger } = pair.context(undefined);
    const old = await targetLedger.find({ kind: 'engine-proof', object: 'native' });
    const { servers } = old!.before as { servers: string[] };
    await targetLedger.replace({ kind: 'engine-proof', object: 'native' }, { servers, at: Date.now() / 1_000 - 4_000 });
    expect(await remembering(), 'more than an hour ago').toEqual({ engine: 'native', proven: 'now' });
    await targetLedger.replace(
      { kind: 'engine-proof', object: 'native' },
      { servers: [servers[0], 'another server'], at: Date.now() / 1_000 },
    );
    expect(await remembering(), 'with another target').toEqual({ engine: 'native', proven: 'now' });

    expect(await proveEngine.undo!(pair.context(undefined))).toBe(true);
    expect(await remembering()).toEqual({ engine: 'native', proven: 'now' });
  });

  test('a role that does not fit is left to setup', async () => {
    const { role } = pair.clusters.settings.replication;
    await pair.query('source', 'postgres', `alter role ${role} nologin`);
    const { findings } = await prove(pair);
    expect(findings).toMatchObject([{ code: 'engine-unproven', severity: 'warning', object: role }]);
    await runOperation(createReplicationRole, pair.context(undefined));
    expect((await prove(pair)).findings).toEqual([]);
  });

  test('a user who may not make roles: said, and no stack trace', async () => {
    const user = pair.name('limited');
    await pair.query('source', 'postgres', `create role ${id(user).text} login password 'only-here'`);
    const { source } = pair.clusters;
    const limited = new SourceCluster(
      'source',
      { ...source.address, user, password: 'only-here' },
      source.maintenanceDatabase,
    );
    const { context, close } = openContext(
      { ...pair.clusters, source: limited },
      {
        engine: pair.engine,
        applicationName: 'pgconvoy/test/limited',
        database: undefined,
        input: { remember: false },
        run: { id: 'test', databases: [], options: {} },
        signal: new AbortController().signal,
        log: createLogger('silent'),
        progress: () => {},
      },
    );
    const { findings } = await runOperation(proveEngine, context);
    await close();
    await limited.close();
    expect(findings).toMatchObject([
      {
        code: 'engine-unproven',
        severity: 'block',
        side: 'source',
        message: expect.stringContaining('permission denied'),
      },
    ]);
  });

  test('after the last cutover nobody needs a proof', async () => {
    const database = await pair.database('done');
    const note = { fencedAt: 'then', openedAt: 'now', lsn: '0/1', outageMs: 1 };
    await proveEngine.undo!(pair.context(undefined));
    await pair.context(undefined).targetLedger.record(openedKey(database), note);
    expect((await prove(pair, { input: { remember: true } })).output).toMatchObject({ proven: 'not-needed' });
  });
});

describe('two servers that do not', () => {
  let source: Cluster;
  let target: Cluster;
  let pair: TestPair;
  beforeAll(async () => {
    [source, target] = await Promise.all([
      startCluster({ major: 15, settings: { max_replication_slots: 2 } }),
      startCluster({ major: 18, settings: { max_logical_replication_workers: 1 } }),
    ]);
    pair = await TestPair.open({ source, target });
  });
  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
    await Promise.all([source, target].map((server) => server?.stop()));
  });

  test('workers that are used up: the step and the setting are named', async () => {
    const { findings } = await prove(pair);
    expect(findings).toMatchObject([
      {
        code: 'engine-fails',
        severity: 'block',
        side: 'target',
        object: 'copying rows',
        message: expect.stringMatching(
          /scratch database "pgconvoy_canary_\w+" and failed at copying rows: .*max_logical_replication_workers/,
        ),
        remedy: expect.stringContaining('Raise max_logical_replication_workers on the target'),
      },
    ]);
    expect(await traces(pair)).toEqual([]);
  });

  test('slots that are used up', async () => {
    for (const name of ['one', 'two'])
      await pair.query('source', 'postgres', `select pg_create_physical_replication_slot('${name}')`);
    const { findings } = await prove(pair);
    expect(findings).toMatchObject([
      {
        code: 'engine-fails',
        side: 'source',
        object: 'creating the replication slot',
        message: expect.stringContaining('all replication slots are in use'),
        remedy: expect.stringContaining('max_replication_slots'),
      },
    ]);
    expect(await traces(pair)).toEqual([]);
    for (const name of ['one', 'two'])
      await pair.query('source', 'postgres', `select pg_drop_replication_slot('${name}')`);
  });

  const reload = () => pair.query('source', 'postgres', 'select pg_reload_conf(), pg_sleep(0.1)');

  test('an output plugin that is not allowed: the very line that allows it', async () => {
    await pair.query('source', 'postgres', "alter system set output_plugin_libraries = 'test_decoding'");
    await reload();
    const { findings } = await prove(pair);
    await pair.query('source', 'postgres', 'alter system reset output_plugin_libraries');
    await reload();
    expect(findings).toMatchObject([
      {
        code: 'engine-fails',
        object: 'creating the replication slot',
        message: expect.stringContaining('"pgoutput" may not be used'),
        remedy: expect.stringMatching(/ALTER SYSTEM SET output_plugin_libraries = .*'pgoutput'/),
      },
    ]);
    expect(await traces(pair)).toEqual([]);
  });

  test('pg_hba.conf that keeps the target out of the scratch database alone: said, and no verdict', async () => {
    const file = join(source.dataFolder, 'pg_hba.conf');
    const before = readFileSync(file, 'utf8');
    writeFileSync(file, `host ${canaryOf(pair)} ${pair.clusters.settings.replication.role} all reject\n${before}`);
    await reload();
    const { findings } = await prove(pair);
    writeFileSync(file, before);
    await reload();
    expect(findings).toMatchObject([
      {
        code: 'engine-unproven',
        severity: 'warning',
        object: 'subscribing the target to the source',
        remedy: expect.stringContaining(`into the database ${canaryOf(pair)} too`),
      },
    ]);
    expect(await traces(pair)).toEqual([]);
  });

  test('a target that cannot reach the source', async () => {
    const { settings } = pair.clusters;
    const blind = {
      ...pair.context(undefined, { input: { remember: false } }),
      settings: { ...settings, source: { fromTarget: { port: 1 } } },
    };
    const { findings } = await runOperation(proveEngine, blind);
    expect(findings).toMatchObject([
      {
        code: 'engine-fails',
        object: 'subscribing the target to the source',
        message: expect.stringContaining('The target server cannot reach the source'),
        remedy: expect.stringContaining('source.fromTarget'),
      },
    ]);
    expect(await traces(pair)).toEqual([]);
  });
});

test('where DROP DATABASE would hang, the emptied database stays, is named, and serves again', async () => {
  await using target = await startCluster({
    major: 15,
    pglogical: true,
    settings: { wal_retrieve_retry_interval: '100ms' },
  });
  await using pair = await TestPair.open({ source: 13, target });
  const first = await prove(pair);
  const left = await traces(pair);
  const schemas = await pair.query('target', canaryOf(pair), "select from pg_namespace where nspname = 'canary'");
  const second = await prove(pair);
  const undone = await proveEngine.undo!(pair.context(undefined));

  // Without pglogical the database can be dropped, also by the helpers of this test.
  await pair.clusters.target.close();
  target.configure({ shared_preload_libraries: '', output_plugin_libraries: 'pgoutput' });
  await target.restart();
  for (const { findings } of [first, second]) {
    expect(findings).toMatchObject([
      { code: 'canary-left', severity: 'warning', side: 'target', object: canaryOf(pair) },
    ]);
  }
  expect(left).toEqual(['database on the target']);
  expect(schemas).toEqual([]);
  expect(undone).toBe(false);
  expect((await prove(pair)).findings).toEqual([]);
  expect(await traces(pair)).toEqual([]);
});
