import { judgePglogical } from '../../../src/operations/checks/clusters/pglogical.ts';
import {
  judgePglogicalSource,
  judgePglogicalTarget,
} from '../../../src/operations/checks/clusters/pglogical-capacity.ts';
import { describe, expect, test } from 'vitest';
import { Config } from '../../../src/config/schema.ts';
import { judgeSourceCapacity, judgeTargetCapacity } from '../../../src/operations/checks/clusters/capacity.ts';
import type { Capacity } from '../../../src/operations/checks/clusters/capacity.ts';
import { judgeClientTools } from '../../../src/operations/checks/clusters/client-tools.ts';
import {
  judgeClosedDatabases,
  judgeSlots,
  judgeSubscriptions,
} from '../../../src/operations/checks/clusters/inventory.ts';
import { callerOf, judgeAnswer, judgeHostRules } from '../../../src/operations/checks/clusters/reachability.ts';
import { judgeMd5, judgeRoles } from '../../../src/operations/checks/clusters/roles.ts';
import { judgeSession, judgeVersions } from '../../../src/operations/checks/clusters/servers.ts';
import { judgeSourceSettings, listed } from '../../../src/operations/checks/clusters/source-settings.ts';
import { findingsIn } from '../../../src/operations/checks/concern.ts';
import { judgeTablespaces } from '../../../src/operations/checks/clusters/tablespaces.ts';
import { age, judgeTransactions } from '../../../src/operations/checks/clusters/transactions.ts';
import type { HostRule } from '../../../src/postgres/catalog/server.ts';

const codes = (found: readonly { code: string; severity: string }[]) =>
  found.map(({ code, severity }) => `${severity} ${code}`);

describe('versions', () => {
  const facts = (major: number, systemIdentifier = String(major)) => ({
    major,
    versionNum: major * 10_000,
    systemIdentifier,
  });

  test.each([
    [10, 18, 'native', []],
    [15, 15, 'native', ['block same-cluster']],
    [9.6, 18, 'native', ['block version-unsupported']],
    [9.4, 18, 'pglogical', []],
    [9.3, 18, 'pglogical', ['block version-unsupported']],
    [9.4, 9.6, 'pglogical', ['block version-unsupported']],
    [18, 19, 'native', ['warning version-unsupported']],
    [18, 15, 'native', ['block target-older']],
  ] as const)('%f to %f, %s', (source, target, engine, expected) => {
    expect(codes(judgeVersions(facts(source), facts(target), engine))).toEqual(expected);
  });

  test('two clusters of the same major', () => {
    expect(judgeVersions(facts(15, 'one'), facts(15, 'other'), 'native')).toEqual([]);
  });
});

test('a standby, and a user who may almost everything', () => {
  const user = { user: 'Admin "A"', superuser: false, replication: true, createRole: true, createDatabase: true };
  const found = judgeSession('target', { ...user, inRecovery: true, address: null });
  expect(codes(found)).toEqual(['block standby', 'block not-superuser']);
  expect(found[1]?.remedy).toContain('ALTER ROLE "Admin ""A""" SUPERUSER;');
});

test.each([
  [18, 15, 18, []],
  [15, 15, 18, ['warning client-tools']],
  [13, 15, 18, ['block client-tools']],
  [18, 15, 17, ['warning client-tools']],
  [15, 18, 15, ['block client-tools']],
])('pg_dump %i for %i to %i', (tools, source, target, expected) => {
  expect(codes(judgeClientTools({ bin: '/bin', version: `${tools}.1`, major: tools }, source, target))).toEqual(
    expected,
  );
});

describe('settings of the source', () => {
  test('what a server does not know is not in the way', () => {
    expect(judgeSourceSettings([{ name: 'wal_level', value: 'logical' }], 'pgoutput')).toEqual([]);
  });

  test('limits that lose slots are worth a word', () => {
    const found = judgeSourceSettings(
      [
        { name: 'max_slot_wal_keep_size', value: '1024' },
        { name: 'idle_replication_slot_timeout', value: '3600' },
        { name: 'output_plugin_libraries', value: 'pgoutput, test_decoding' },
      ],
      'pgoutput',
    );
    expect(codes(found)).toEqual(['warning slot-wal-limit', 'warning slot-idle-timeout']);
  });

  test('the library of the engine must be allowed: the very line, with what is there already', () => {
    const plugins = [{ name: 'output_plugin_libraries', value: 'pgoutput, test_decoding' }];
    expect(judgeSourceSettings(plugins, 'pgoutput')).toEqual([]);
    const [found] = judgeSourceSettings(plugins, 'pglogical_output');
    expect(found?.code).toBe('output-plugin');
    expect(found?.remedy).toContain(
      "ALTER SYSTEM SET output_plugin_libraries = 'pgoutput', 'test_decoding', 'pglogical_output'; SELECT pg_reload_conf(); (no restart)",
    );
  });

  test('lists of names', () => {
    expect(listed('pgoutput,test_decoding , "odd, ""name"""')).toEqual(['pgoutput', 'test_decoding', 'odd, "name"']);
    expect(listed('')).toEqual([]);
  });
});

describe('capacity', () => {
  const { budgets } = Config.parse({ budgets: { copies: 4, tableWorkers: 2, operations: 8, cutovers: 4 } });
  const server = (major: number, limits: Record<string, number>, use: Partial<Capacity['use']> = {}): Capacity => ({
    major,
    limits: Object.entries({
      max_connections: 100,
      superuser_reserved_connections: 3,
      max_replication_slots: 300,
      max_wal_senders: 300,
      max_worker_processes: 300,
      max_logical_replication_workers: 300,
      max_sync_workers_per_subscription: 2,
      max_active_replication_origins: 300,
      ...limits,
    }).map(([name, value]) => ({ name, value: String(value) })),
    use: { slots: 0, senders: 0, origins: 0, subscriptions: 0, ...use },
    sessions: { connections: 10, workers: 1 },
  });

  test('one slot and sender for each database and for each table that is copied at once', () => {
    const enough = server(15, { max_replication_slots: 209, max_wal_senders: 208 }, { slots: 1 });
    expect(findingsIn(judgeSourceCapacity(enough, 200, budgets))).toEqual([]);
    const found = findingsIn(
      judgeSourceCapacity(server(15, { max_replication_slots: 208 }, { slots: 1 }), 200, budgets),
    );
    expect(codes(found)).toEqual(['block replication-slots']);
    expect(found[0]?.message).toContain('is 208: 1 in use, 207 free, 208 needed');
    expect(found[0]?.remedy).toContain('ALTER SYSTEM SET max_replication_slots = 209;');
  });

  test('each limit is told with what is needed, in use and free, also where it is enough', () => {
    const [slots, , connections] = judgeSourceCapacity(server(15, {}, { slots: 7 }), 10, budgets);
    expect(slots).toEqual({
      id: 'max_replication_slots',
      title: 'max_replication_slots',
      capacity: { limit: 300, used: 7, free: 293, needed: 18 },
      findings: [],
    });
    expect(connections?.capacity).toEqual({ limit: 100, used: 13, free: 87, needed: 16 });
  });

  test('fewer databases than the budget copy fewer tables', () => {
    expect(
      findingsIn(judgeSourceCapacity(server(15, { max_replication_slots: 3, max_wal_senders: 3 }), 1, budgets)),
    ).toEqual([]);
  });

  test('below 12 senders take connections too', () => {
    expect(findingsIn(judgeSourceCapacity(server(12, {}), 100, budgets))).toEqual([]);
    expect(codes(findingsIn(judgeSourceCapacity(server(11, {}), 100, budgets)))).toEqual(['block connections']);
  });

  test('origins are limited by another setting from 18 on', () => {
    const few = { max_active_replication_origins: 17, max_replication_slots: 18 };
    expect(codes(findingsIn(judgeTargetCapacity(server(18, few), 10, budgets)))).toEqual(['block replication-origins']);
    expect(codes(findingsIn(judgeTargetCapacity(server(17, few), 10, budgets)))).toEqual([]);
  });

  test('worker processes hold the launcher, other extensions, and every replication worker', () => {
    const limits = { max_worker_processes: 20, max_logical_replication_workers: 18 };
    expect(findingsIn(judgeTargetCapacity(server(18, limits), 10, budgets))).toEqual([]);
    const more = findingsIn(judgeTargetCapacity(server(18, limits, { subscriptions: 1 }), 10, budgets));
    expect(codes(more)).toEqual(['block replication-workers', 'block worker-processes']);
  });
});

describe('the way from the target', () => {
  const refusal = (text: string) => `target, database "postgres": could not connect to the publisher: FATAL:  ${text}`;
  const to = { host: 'db.example', port: 5432 };

  test.each([
    ['let in', undefined],
    [
      'turned away by pg_hba.conf',
      refusal('no pg_hba.conf entry for host "10.0.0.7", user "a", database "b", no encryption'),
    ],
    ['another password', refusal('password authentication failed for user "a"')],
    ['no sender free', refusal('number of requested standby connections exceeds "max_wal_senders" (currently 1)')],
  ])('%s: it was reached', (_, answer) => {
    expect(judgeAnswer(answer, to)).toEqual([]);
  });

  test('not reached: where, why, and the setting', () => {
    const [finding] = judgeAnswer('could not translate host name "db.example"', to);
    expect(finding).toMatchObject({ code: 'source-unreachable', severity: 'block', object: 'db.example:5432' });
    const [tls] = judgeAnswer('server does not support SSL, but SSL was required', to);
    expect(tls?.remedy).toContain('source.fromTarget.sslmode');
  });

  test('the address the source has seen', () => {
    const seen = (host: string) =>
      callerOf(refusal(`no pg_hba.conf entry for host "${host}", user "a"`), 'db.example', ['10.9.9.9']);
    expect(seen('10.0.0.7')).toEqual({ addresses: ['10.0.0.7'], socket: false, certain: true });
    expect(seen('fd00::7')).toEqual({ addresses: ['fd00::7'], socket: false, certain: true });
    expect(seen('[local]')).toEqual({ addresses: [], socket: true, certain: true });
    expect(callerOf(undefined, 'db.example', ['10.9.9.9', 'fd00::9'])).toEqual({
      addresses: ['10.9.9.9', 'fd00::9'],
      socket: false,
      certain: false,
    });
    expect(callerOf(undefined, '/run/postgresql', [])).toEqual({ addresses: [], socket: true, certain: true });
  });

  const rule = (
    type: string,
    databases: string,
    users: string,
    address: string | null,
    mask: string | null,
    method = 'scram-sha-256',
  ): HostRule => ({
    type,
    databases: databases.split(','),
    users: users.split(','),
    address,
    netmask: mask,
    method,
  });
  const caller = {
    role: 'pgconvoy_replication',
    databases: ['a', 'b'],
    major: 15,
    addresses: ['10.0.0.7'],
    socket: false,
    certain: true,
  };

  const reject = (address: string) => rule('host', 'all', 'all', address, null, 'reject');
  const line = (databases: string) => `host ${databases} pgconvoy_replication 10.0.0.7/32 scram-sha-256`;

  test.each<[string, HostRule[], string[]]>([
    ['everybody from everywhere', [rule('host', 'all', 'all', 'all', null)], []],
    ['the network', [rule('hostssl', 'all', 'pgconvoy_replication', '10.0.0.0', '255.255.255.0')], []],
    ['another network', [rule('host', 'all', 'all', '10.0.1.0', '255.255.255.0')], [line('all')]],
    ['IPv6 only', [rule('host', 'all', 'all', '::', '::')], [line('all')]],
    ['replication is no database', [rule('host', 'replication', 'all', 'all', null)], [line('all')]],
    ['sockets only', [rule('local', 'all', 'all', null, null)], [line('all')]],
    ['one database', [rule('host', 'b,c', 'all', '10.0.0.7', '255.255.255.255')], [line('a')]],
    ['rejected first', [reject('all'), rule('host', 'all', 'all', 'all', null)], [line('all')]],
    ['perhaps rejected first', [reject('samenet'), rule('host', 'all', 'all', 'all', null)], []],
    ['an expression may fit', [rule('host', '/^a|b$', '/^pgconvoy', 'db.example', null)], []],
    ['no rules', [], [line('all')]],
  ])('%s', (_, rules, lines) => {
    const remedies = judgeHostRules(rules, caller).map(({ remedy }) => /host .* scram-sha-256/.exec(remedy)?.[0]);
    expect(remedies).toEqual(lines);
  });

  test('IPv6 networks, and guesses are only warnings', () => {
    const six = { ...caller, addresses: ['fd00::7'], certain: false };
    expect(judgeHostRules([rule('host', 'all', 'all', 'fd00::', 'ffff:ffff::')], six)).toEqual([]);
    const [finding] = judgeHostRules([rule('host', 'all', 'all', 'fd01::', 'ffff:ffff::')], six);
    expect(finding).toMatchObject({
      code: 'pg-hba',
      severity: 'warning',
      remedy: expect.stringContaining('fd00::7/128'),
    });
  });

  test('over a socket', () => {
    const socket = { ...caller, addresses: [], socket: true };
    expect(judgeHostRules([rule('local', 'all', 'all', null, null, 'peer')], socket)).toEqual([]);
    expect(judgeHostRules([], socket)[0]?.remedy).toContain('local all pgconvoy_replication scram-sha-256');
  });

  const lines = (remedy: string | undefined) => remedy?.split('\n').slice(1, -1);

  test('the very lines: one for each address, with real names', () => {
    const odd = { ...caller, role: 'Repl "x"', databases: ['My "odd" DB', 'all', 'shop', 'open'] };
    const found = judgeHostRules([rule('host', 'open', 'all', 'all', null)], { ...odd, addresses: ['127.0.0.1'] });
    expect(lines(found[0]?.remedy)).toEqual([
      'host "My ""odd"" DB","all",shop "Repl ""x""" 127.0.0.1/32 scram-sha-256',
      'host "My ""odd"" DB","all",shop "Repl ""x""" ::1/128 scram-sha-256',
    ]);
    const both = { ...caller, addresses: ['10.0.0.7', 'fd00::7'], certain: false };
    expect(lines(judgeHostRules([], both)[0]?.remedy)).toEqual([
      'host all pgconvoy_replication 10.0.0.7/32 scram-sha-256',
      'host all pgconvoy_replication fd00::7/128 scram-sha-256',
    ]);
    expect(judgeHostRules([rule('host', 'all', 'all', 'fd00::7', 'ffff:ffff::')], both)).toEqual([]);
  });

  test('before 10: md5, and a line for replication', () => {
    expect(lines(judgeHostRules([], { ...caller, major: 9.4 })[0]?.remedy)).toEqual([
      'host all pgconvoy_replication 10.0.0.7/32 md5',
      'host replication pgconvoy_replication 10.0.0.7/32 md5',
    ]);
  });

  test('TLS or not, where it is known', () => {
    const only = [rule('hostssl', 'all', 'all', 'all', null)];
    expect(judgeHostRules(only, caller)).toEqual([]);
    expect(judgeHostRules(only, { ...caller, tls: true })).toEqual([]);
    expect(codes(judgeHostRules(only, { ...caller, tls: false }))).toEqual(['block pg-hba']);
    expect(judgeHostRules([rule('hostnossl', 'all', 'all', 'all', null)], { ...caller, tls: false })).toEqual([]);
  });

  test('keywords: the own database, groups, replication', () => {
    const own = { ...caller, databases: ['pgconvoy_replication'] };
    expect(judgeHostRules([rule('host', 'sameuser', 'all', 'all', null)], own)).toEqual([]);
    expect(codes(judgeHostRules([rule('host', 'sameuser,samerole', 'all', 'all', null)], caller))).toEqual([
      'block pg-hba',
    ]);
    expect(judgeHostRules([rule('host', 'all', '+readers', 'all', null)], caller)).toEqual([]);
  });

  test('a run without databases asks for nothing', () => {
    expect(judgeHostRules([], { ...caller, databases: [] })).toEqual([]);
  });
});

test('transactions: prepared ones block, old ones are named, young ones are not', () => {
  const open = { user: 'app', database: 'shop', application: 'till' };
  const found = judgeTransactions([
    { ...open, pid: null, gid: `it's\\mine`, ageSeconds: 1 },
    { ...open, pid: 7, gid: null, ageSeconds: 59 },
    { ...open, pid: 8, gid: null, ageSeconds: 3_700 },
  ]);
  expect(codes(found)).toEqual(['block prepared-transaction', 'warning long-transaction']);
  expect(found[0]?.remedy).toContain(String.raw`ROLLBACK PREPARED E'it''s\\mine';`);
  expect(found[1]?.message).toContain('for 61 min: pid 8, user "app", database "shop", application "till"');
  expect([5.9, 130, 86_400, 400_000].map(age)).toEqual(['5 s', '2 min', '24 h', '4 days']);
});

test('roles that differ are told attribute by attribute; those that are missing are nobody’s business here', () => {
  const same = { SUPERUSER: 'false', LOGIN: 'true', 'VALID UNTIL': 'infinity' };
  const found = judgeRoles(
    [
      { name: 'same', attributes: same },
      { name: 'Odd "one"', attributes: same },
      { name: 'missing', attributes: same },
    ],
    [
      { name: 'same', attributes: same },
      { name: 'Odd "one"', attributes: { ...same, SUPERUSER: 'true', 'VALID UNTIL': '2030-01-01' } },
    ],
  );
  expect(found).toMatchObject([{ code: 'role-differs', severity: 'warning', object: 'Odd "one"' }]);
  expect(found[0]?.remedy).toContain(`ALTER ROLE "Odd ""one""" NOSUPERUSER VALID UNTIL 'infinity';`);
});

test('MD5 passwords are one finding, however many there are', () => {
  expect(judgeMd5([])).toEqual([]);
  const [finding, ...rest] = judgeMd5(Array.from({ length: 12 }, (_, n) => `r${n}`));
  expect(rest).toEqual([]);
  expect(finding?.message).toMatch(/^12 roles .*"r9" and 2 more\.$/);
});

test('only tablespaces that moved databases use', () => {
  const found = judgeTablespaces(
    [
      { name: 'fast', databases: ['a', 'b'] },
      { name: 'unused', databases: [] },
      { name: 'others', databases: ['x'] },
      { name: 'both', databases: ['a'] },
    ],
    [{ name: 'both', databases: [] }],
    ['a', 'b'],
  );
  expect(found).toMatchObject([
    { code: 'tablespace-missing', object: 'fast', message: expect.stringContaining('"a", "b"') },
  ]);
});

test('slots and subscriptions of others are listed', () => {
  const found = [
    ...judgeSlots([
      { name: 'standby', kind: 'physical', plugin: null, database: null, active: true },
      { name: 'cdc', kind: 'logical', plugin: 'wal2json', database: 'shop', active: false },
    ]),
    ...judgeSubscriptions([{ name: 'In "x"', database: 'shop', enabled: false }]),
  ];
  expect(codes(found)).toEqual(['warning foreign-slot', 'warning foreign-slot', 'warning source-subscription']);
  expect(found[0]?.remedy).not.toContain('pg_drop_replication_slot');
  expect(found[1]).toMatchObject({
    database: 'shop',
    remedy: expect.stringContaining("pg_drop_replication_slot('cdc')"),
  });
  expect(found[2]?.remedy).toContain('DROP SUBSCRIPTION "In ""x""";');
});

test('before 9.5 a database is opened in the catalog itself', () => {
  const [closed] = judgeClosedDatabases([{ oid: 1, name: "it's", connectable: false, invalid: false }], 9.4);
  expect(closed?.remedy).toContain("UPDATE pg_database SET datallowconn = true WHERE datname = 'it''s';");
});

test('databases nobody can connect to, but for template0', () => {
  const database = (name: string, connectable: boolean, invalid = false) => ({ oid: 1, name, connectable, invalid });
  const found = judgeClosedDatabases(
    [
      database('open', true),
      database('template0', false),
      database('Closed', false),
      database('half dropped', true, true),
    ],
    15,
  );
  expect(found.map(({ remedy }) => remedy)).toEqual([
    expect.stringContaining('ALTER DATABASE "Closed" WITH ALLOW_CONNECTIONS true;'),
    expect.stringContaining('DROP DATABASE "half dropped";'),
  ]);
});

describe('pglogical', () => {
  const loaded = { version: '2.4.2', preloaded: true, libraries: 'pglogical' };

  test('has to be there and loaded; the remedy keeps what is loaded already', () => {
    expect(findingsIn(judgePglogical('source', 15, loaded))).toEqual([]);
    const found = findingsIn(
      judgePglogical('target', 18, { version: null, preloaded: false, libraries: 'pg_stat_statements' }),
    );
    expect(codes(found)).toEqual(['block pglogical-missing', 'block pglogical-not-preloaded']);
    expect(found[0]?.remedy).toContain('apt-get install postgresql-18-pglogical');
    expect(found[1]?.remedy).toContain(
      "SET shared_preload_libraries = 'pg_stat_statements', 'pglogical'; then restart",
    );
  });

  test('workers: one for each database on the source, two on the target, and three more', () => {
    const budgets = Config.parse({}).budgets;
    const server = (workers: number, used = 0) => ({
      major: 17,
      limits: [
        { name: 'max_connections', value: '200' },
        { name: 'max_replication_slots', value: '100' },
        { name: 'max_wal_senders', value: '100' },
        { name: 'max_worker_processes', value: String(workers) },
      ],
      use: { slots: 0, senders: 0, origins: 0, subscriptions: 0 },
      sessions: { connections: 0, workers: used },
    });
    expect(findingsIn(judgePglogicalSource(server(33), 30, budgets))).toEqual([]);
    expect(codes(findingsIn(judgePglogicalSource(server(32), 30, budgets)))).toEqual(['block worker-processes']);
    expect(findingsIn(judgePglogicalTarget(server(63), 30, budgets))).toEqual([]);
    expect(codes(findingsIn(judgePglogicalTarget(server(63, 1), 30, budgets)))).toEqual(['block worker-processes']);
    expect(codes(findingsIn(judgePglogicalTarget(server(999), 101, budgets)))).toEqual(['block replication-origins']);
  });
});
