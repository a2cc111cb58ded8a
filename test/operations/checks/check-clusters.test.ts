import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Finding } from '../../../src/engine/finding.ts';
import { runOperation } from '../../../src/engine/run-operation.ts';
import type { StepPolicy } from '../../../src/engine/workflow.ts';
import { createLogger } from '../../../src/log.ts';
import { checkClusters } from '../../../src/operations/checks/check-clusters.ts';
import { Cluster } from '../../../src/postgres/cluster.ts';
import { readHostRules } from '../../../src/postgres/host-rules.ts';
import { id, lit } from '../../../src/postgres/sql.ts';
import { nativeEngine } from '../../../src/replication/native.ts';
import { openContext } from '../../../src/runtime/context.ts';
import type { Clusters } from '../../../src/runtime/context.ts';
import { onServer, TestPair } from '../../helpers/pair.ts';
import { freePort } from '../../helpers/server-process.ts';
import { awkwardPassword, startCluster } from '../../helpers/servers.ts';
import type { Cluster as Server } from '../../helpers/servers.ts';
import { eventually } from '../../helpers/wait.ts';

/** Runs the check as one job would, over clusters that a test may have exchanged. */
async function look(
  clusters: Clusters,
  databases: readonly string[] = [],
  policy: StepPolicy = {},
  operation: typeof checkClusters = checkClusters,
): Promise<readonly Finding[]> {
  const { context, close } = openContext(clusters, {
    engine: nativeEngine,
    applicationName: 'pgconvoy/test/check-clusters',
    database: undefined,
    input: {},
    run: { id: 'test', databases, options: {} },
    signal: new AbortController().signal,
    log: createLogger('silent'),
    progress: () => {},
  });
  try {
    return (await runOperation(operation, context, policy)).findings;
  } finally {
    await close();
  }
}

const codes = (found: readonly Finding[]) => found.map(({ code, severity, side }) => `${severity} ${code} ${side}`);

describe('two clusters that fit', () => {
  let pair: TestPair;
  beforeAll(async () => {
    pair = await TestPair.open();
  });
  afterAll(async () => {
    await pair[Symbol.asyncDispose]();
  });

  /** Other test files work on the same clusters: their roles, slots, transactions and databases are none of ours. */
  const others = new Set([
    'foreign-slot',
    'source-subscription',
    'long-transaction',
    'prepared-transaction',
    'role-differs',
    'md5-password',
    'database-refuses-connections',
  ]);
  const ofOurs = (found: readonly Finding[]) => found.filter(({ code }) => !others.has(code));

  test('nothing stands in the way, and nothing is left of the probe', async () => {
    const database = await pair.database('animals');
    expect(ofOurs(await look(pair.clusters, [database]))).toEqual([]);
    const left = await pair.query('target', 'postgres', "select from pg_subscription where subname ~ 'pgconvoy_probe'");
    const slots = await pair.query(
      'source',
      'postgres',
      "select from pg_replication_slots where slot_name ~ 'pgconvoy_probe'",
    );
    expect([...left, ...slots]).toEqual([]);
  });

  test('the same cluster on both sides, by another name', async () => {
    const { cluster } = pair.context(undefined).sourceCluster;
    const target = new Cluster('target', { ...cluster.address, host: 'localhost' }, cluster.maintenanceDatabase);
    const found = await look({ ...pair.clusters, target });
    expect(codes(found)).toContain('block same-cluster target');
    await target.close();
    await expect(look({ ...pair.clusters, target }, [], { findings: 'block' })).rejects.toMatchObject({
      name: 'BlockedByFindings',
      hint: expect.stringContaining('initdb'),
    });
    await target.close();
  });

  test('a target that is older, and tools that cannot read the source', async () => {
    const { source, target } = pair.clusters;
    const swapped = {
      source: new Cluster('source', target.address, target.maintenanceDatabase),
      target: new Cluster('target', source.address, source.maintenanceDatabase),
    };
    const found = await look({
      ...pair.clusters,
      ...swapped,
      programs: { ...pair.clusters.programs, version: async () => ({ bin: '/old/bin', version: '15.4', major: 15 }) },
    });
    expect(codes(ofOurs(found))).toEqual(['block target-older target', 'block client-tools target']);
    await Promise.all([swapped.source.close(), swapped.target.close()]);
  });

  test('an ordinary user: what cannot be looked at is said and hides nothing', async () => {
    const user = pair.name('limited');
    const password = 'only-for-this-test';
    await pair.query('source', 'postgres', `create role ${id(user).text} login password ${lit(password).text}`);
    const { source } = pair.clusters;
    const limited = new Cluster('source', { ...source.address, user, password }, source.maintenanceDatabase);
    const found = await look({ ...pair.clusters, source: limited });
    const shown = found.filter((finding) => finding.code === 'not-superuser' || finding.code === 'cannot-look');
    expect(shown).toMatchObject([
      {
        code: 'not-superuser',
        message: expect.stringContaining('(and REPLICATION, CREATEROLE, CREATEDB)'),
        remedy: expect.stringContaining(`ALTER ROLE ${id(user).text} SUPERUSER;`),
      },
      { code: 'cannot-look', object: 'pg_hba.conf', severity: 'block' },
      { code: 'cannot-look', object: 'roles', severity: 'block' },
    ]);
    expect(JSON.stringify(found)).not.toContain(password);
    await limited.close();
  });

  test('a server that cannot be reached is an error, not a finding', async () => {
    const { target } = pair.clusters;
    const nobody = new Cluster('target', { ...target.address, port: await freePort() }, target.maintenanceDatabase);
    await expect(look({ ...pair.clusters, target: nobody })).rejects.toMatchObject({ name: 'UnreachableError' });
  });
});

describe('two clusters with everything wrong', () => {
  let source: Server;
  let target: Server;
  let pair: TestPair;
  beforeAll(async () => {
    [source, target] = await Promise.all([
      startCluster({
        major: 15,
        name: 'checks-source',
        settings: {
          wal_level: 'replica',
          max_replication_slots: 2,
          max_wal_senders: 3,
          max_connections: 30,
          max_slot_wal_keep_size: '100MB',
          max_prepared_transactions: 2,
        },
      }),
      startCluster({
        major: 18,
        name: 'checks-target',
        settings: {
          max_worker_processes: 4,
          max_logical_replication_workers: 3,
          max_sync_workers_per_subscription: 1,
          max_active_replication_origins: 3,
          max_connections: 20,
          log_statement: 'all',
          log_min_duration_statement: 0,
        },
      }),
    ]);
    // We come by the socket, the target over the network: so pg_hba.conf can tell us apart.
    appendFileSync(
      join(source.dataFolder, 'postgresql.conf'),
      'output_plugin_libraries = \'test_decoding, "odd name"\'\n',
    );
    hba(source, ['local all all scram-sha-256', 'host all postgres 127.0.0.1/32 scram-sha-256']);
    await source.restart();
    pair = await TestPair.open({ source, target });
  });
  afterAll(async () => {
    await pair[Symbol.asyncDispose]();
    await Promise.all([source.stop(), target.stop()]);
  });

  const hba = (server: Server, lines: readonly string[]) =>
    writeFileSync(join(server.dataFolder, 'pg_hba.conf'), `${lines.join('\n')}\n`);

  /** The clusters as the configuration would give them: we by the source's socket, the target by `fromTarget`. */
  function bySocket(port = source.port): Clusters & AsyncDisposable {
    const { source: cluster, settings } = pair.clusters;
    const socket = new Cluster(
      'source',
      { ...cluster.address, host: source.socketFolder },
      cluster.maintenanceDatabase,
    );
    return {
      ...pair.clusters,
      source: socket,
      settings: { ...settings, source: { fromTarget: { host: '127.0.0.1', port } } },
      [Symbol.asyncDispose]: () => socket.close(),
    };
  }

  test('all findings at once', async () => {
    const database = await pair.database('two phases', 'create table t (a int)');
    await pair.query(
      'source',
      'postgres',
      `create role app login nocreatedb;
       set password_encryption = 'md5';
       create role old password 'x';
       select pg_create_physical_replication_slot('standby');`,
    );
    await pair.query('source', 'postgres', 'create database closed allow_connections false');
    await pair.query('target', 'postgres', 'create role app nologin createdb connection limit 3');
    await pair.query('source', database, "begin; insert into t values (1); prepare transaction 'it''s open'");
    await using clusters = bySocket();
    const found = await look(clusters, [database, 'b', 'c']).finally(() =>
      pair.query('source', database, "rollback prepared 'it''s open'"),
    );
    expect(codes(found)).toEqual([
      'block wal-level source',
      'block output-plugin source',
      'warning slot-wal-limit source',
      'block replication-slots source',
      'block wal-senders source',
      'block replication-workers target',
      'block worker-processes target',
      'block replication-origins target',
      'block connections target',
      'warning sync-workers target',
      'warning pg-hba source',
      'block prepared-transaction source',
      'warning role-differs target',
      'warning md5-password source',
      'warning foreign-slot source',
      'warning database-refuses-connections source',
    ]);
    const text = new Map<string, string>(found.map(({ code, message, remedy }) => [code, `${message} ${remedy}`]));
    expect(text.get('wal-level')).toContain(
      "is replica; logical replication needs logical. On the source: ALTER SYSTEM SET wal_level = 'logical'",
    );
    expect(text.get('output-plugin')).toContain(
      `ALTER SYSTEM SET output_plugin_libraries = 'test_decoding', 'odd name', 'pgoutput'; `,
    );
    expect(text.get('replication-slots')).toContain(
      'is 2: 1 in use, 1 free, 9 needed (one for each of 3 databases and 6 for table copies)',
    );
    expect(text.get('replication-slots')).toContain('ALTER SYSTEM SET max_replication_slots = 10;');
    expect(text.get('prepared-transaction')).toContain(`ROLLBACK PREPARED 'it''s open'`);
    expect(text.get('role-differs')).toContain('ALTER ROLE "app" LOGIN NOCREATEDB CONNECTION LIMIT -1;');
    expect(text.get('database-refuses-connections')).toContain('"closed"');
  });

  test('what the remedies say makes it right', async () => {
    await using clusters = bySocket();
    const found = await look(clusters, ['a', 'b', 'c']);
    const remedies = found.flatMap(({ side, remedy }) =>
      [...remedy.matchAll(/ALTER SYSTEM SET [^;]+;/g)].map(([statement]) => ({ side, statement })),
    );
    expect(remedies.length).toBeGreaterThan(8);
    for (const { side, statement } of remedies) await pair.query(side, 'postgres', statement);
    await Promise.all([clusters.source.close(), clusters.target.close()]);
    await Promise.all([source.restart(), target.restart()]);
    const left = codes(await look(clusters, ['a', 'b', 'c']));
    expect(left.filter((code) => code.startsWith('block'))).toEqual([]);
    expect(left.toString()).not.toMatch(/slot-wal-limit|sync-workers/);
  });

  test('pg_hba.conf: the very lines that are missing, for the address that the source has seen', async () => {
    hba(source, [
      'local all all scram-sha-256',
      'host all postgres 127.0.0.1/32 reject',
      'host other all 127.0.0.1/32 md5',
    ]);
    await using clusters = bySocket();
    const reload = async () => {
      const socket = { ...source, host: source.socketFolder as '127.0.0.1' };
      await onServer(socket, 'postgres', 'select pg_reload_conf()');
    };
    await reload();
    const refused = await eventually(async () => {
      const found = (await look(clusters, ['a', 'b'])).filter(({ code }) => code === 'pg-hba');
      expect(found).toMatchObject([{ severity: 'block', side: 'source', object: 'pg_hba.conf' }]);
      return found;
    });
    const lines = refused[0]?.remedy.split('\n').slice(1, -1) ?? [];
    const { role } = pair.clusters.settings.replication;
    expect(lines).toEqual([`host all ${role} 127.0.0.1/32 scram-sha-256`, `host all ${role} ::1/128 scram-sha-256`]);

    hba(source, ['local all all scram-sha-256', 'host all postgres 127.0.0.1/32 reject', ...lines]);
    await reload();
    expect(codes(await look(clusters, ['a', 'b'])).toString()).not.toContain('pg-hba');
    hba(source, ['local all all scram-sha-256', 'host all all 127.0.0.1/32 scram-sha-256']);
    await reload();
  });

  test('pg_hba.conf read as before 10: the same rules as the server tells of itself', async () => {
    const here = readFileSync(join(source.dataFolder, 'pg_hba.conf'), 'utf8');
    writeFileSync(join(source.dataFolder, 'names of dbs'), 'one, "t\two"\n');
    hba(source, [
      '# "quoted" comment',
      'local\tall\tall\tscram-sha-256',
      'host "My ""odd"" DB",été, b +staff,"Bob, jr" 10.0.0.0/9 md5 # why',
      'hostnossl @"names of dbs" all fe80:: ffc0:: ident map="my map"',
      'hostnossl sameuser,replication all samenet scram-sha-256',
      'host all all .example.com password',
      'host all postgres 127.0.0.1/32 \\',
      '  scram-sha-256',
    ]);
    await using clusters = bySocket();
    const { context, close } = openContext(clusters, {
      applicationName: 'pgconvoy/test/hba',
      database: undefined,
      engine: nativeEngine,
      input: {},
      run: { id: 'test', databases: [], options: {} },
      signal: new AbortController().signal,
      log: createLogger('silent'),
      progress: () => {},
    });
    const [told, read] = [await readHostRules(context.source, true), await readHostRules(context.source, false)];
    await close();
    hba(source, [here.trimEnd()]);
    expect(told).toHaveLength(6);
    expect(read).toEqual(told);
    expect(await pair.query('source', 'postgres', "select from pg_class where relname = 'pgconvoy_lines'")).toEqual([]);
  });

  test('a source that the target does not reach', async () => {
    const port = await freePort();
    await using clusters = bySocket(port);
    const found = (await look(clusters)).filter(({ code }) => code === 'source-unreachable');
    expect(found).toMatchObject([{ severity: 'block', side: 'target', object: `127.0.0.1:${port}` }]);
    expect(found[0]?.message).toContain('Connection refused');
    expect(found[0]?.remedy).toContain('source.fromTarget.host');
    expect(JSON.stringify(found)).not.toContain('p%41ss');
  });

  test('no password of ours has come into a log', () => {
    expect(awkwardPassword).toContain('p%41ss');
    for (const server of [source, target]) {
      const log = readFileSync(server.logFile, 'utf8');
      expect(log).not.toContain('p%41ss');
    }
    expect(readFileSync(target.logFile, 'utf8'), 'the target logs statements').toContain('from pg_settings');
  });
});
