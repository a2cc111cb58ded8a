import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import type { ConfigFlags } from '../../../src/config/load.ts';
import { secretsOf } from '../../../src/config/secrets.ts';
import { ConfigError } from '../../../src/errors.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pgconvoy-config-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const put = (name: string, text: string, mode = 0o600) => {
  const file = join(folder, name);
  writeFileSync(file, text);
  chmodSync(file, mode);
  return file;
};
interface Given {
  readonly yaml?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly flags?: ConfigFlags;
  readonly path?: string;
}
const load = ({ yaml, env = {}, flags = {}, path }: Given) => {
  if (yaml !== undefined) put('pgconvoy.yaml', yaml);
  return loadConfig({ path, env: { HOME: folder, ...env }, flags, cwd: folder });
};
const refusal = (given: Given): ConfigError => {
  try {
    load(given);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('it was accepted');
};

const BOTH = 'source: { host: old }\ntarget: { host: new }\n';

describe('where the configuration comes from', () => {
  test('./pgconvoy.yaml, PGCONVOY_CONFIG, --config: the later wins', () => {
    put('other.yaml', BOTH.replace('old', 'other'));
    put('third.yaml', BOTH.replace('old', 'third'));
    expect(load({ yaml: BOTH }).addresses.source.host).toBe('old');
    expect(load({ env: { PGCONVOY_CONFIG: 'other.yaml' } }).addresses.source.host).toBe('other');
    const third = load({ env: { PGCONVOY_CONFIG: 'other.yaml' }, path: join(folder, 'third.yaml') });
    expect(third.addresses.source.host).toBe('third');
    expect(third.file).toBe(join(folder, 'third.yaml'));
  });

  test('flags alone are enough', () => {
    const { addresses, config, settings, file } = load({
      flags: {
        source: 'postgres://us%20er:p%40ss@old:5433/my%2Fdb?sslmode=disable',
        target: 'host=/run/pg port=5434 user=me',
        queue: 'redis://q',
        engine: 'pglogical',
      },
    });
    expect([config.engine, settings.engine]).toEqual(['pglogical', 'pglogical']);
    expect(file).toBeUndefined();
    expect(addresses.source).toEqual({
      host: 'old',
      port: 5433,
      user: 'us er',
      password: 'p@ss',
      ssl: false,
      sslmode: 'disable',
      sslrootcert: undefined,
      connectTimeoutMs: 10_000,
    });
    expect(config.source.database).toBe('my/db');
    expect(addresses.target).toMatchObject({ host: '/run/pg', port: 5434, user: 'me', ssl: false });
    expect(config.queue).toMatchObject({ url: 'redis://q', prefix: 'pgconvoy' });
  });

  test('a flag replaces its section: no password of the file goes to another server', () => {
    const yaml =
      'source: { host: old, password: secret, connectTimeout: 3s, fromTarget: { host: inner } }\ntarget: { host: new }\n';
    const { addresses, settings } = load({ yaml, flags: { source: 'postgres://elsewhere' } });
    expect(addresses.source).toMatchObject({ host: 'elsewhere', password: undefined, connectTimeoutMs: 3_000 });
    expect(settings.source.fromTarget.host).toBe('elsewhere');
  });

  test('the target reaches the source as we do, unless told otherwise', () => {
    const plain = load({ yaml: 'source: { host: old, port: 5, sslmode: require }\ntarget: { host: new }' });
    expect(plain.settings.source.fromTarget).toEqual({ host: 'old', port: 5, sslmode: 'require' });
    const told = load({ yaml: 'source: { host: old, port: 5, fromTarget: { host: inner } }\ntarget: { host: new }' });
    expect(told.settings.source.fromTarget).toEqual({ host: 'inner', port: 5, sslmode: 'prefer' });
  });

  test('relative paths start at the file', () => {
    const { config } = load({ yaml: `${BOTH}state: here\ntools: { bin: ./bin }\n` });
    expect(config.state).toBe(join(folder, 'here'));
    expect(config.tools.bin).toBe(join(folder, 'bin'));
  });
});

describe("libpq's environment", () => {
  const env = {
    PGHOST: 'env-host',
    PGPORT: '6000',
    PGUSER: 'env-user',
    PGDATABASE: 'env-db',
    PGSSLMODE: 'allow',
    PGCONNECT_TIMEOUT: '4',
    PGPASSWORD: 'env-password',
  };

  test('fills what is left out, on both sides', () => {
    const { addresses, config } = load({
      yaml: 'source: {}\ntarget: { host: new, sslmode: disable, connectTimeout: 1s }',
      env,
    });
    expect(addresses.source).toMatchObject({
      host: 'env-host',
      port: 6000,
      user: 'env-user',
      password: 'env-password',
      connectTimeoutMs: 4_000,
    });
    expect(addresses.source.sslmode).toBe('prefer');
    expect(addresses.target).toMatchObject({
      host: 'new',
      port: 6000,
      user: 'env-user',
      sslmode: 'disable',
      connectTimeoutMs: 1_000,
    });
    expect([config.source.database, config.target.database]).toEqual(['env-db', 'env-db']);
  });

  test('never names the target alone', () => {
    expect(load({ flags: { target: 'postgres://new' }, env }).addresses.source.host).toBe('env-host');
    expect(refusal({ env }).message).toMatch(/^target: nothing says where the target is/);
  });

  test('a mistake in it is named by its variable', () => {
    const error = refusal({ yaml: BOTH, env: { PGPORT: 'x', PGSSLMODE: 'maybe' } });
    expect(error.message).toContain('PGPORT: the port is not a number from 1 to 65535');
    expect(error.message).toContain('PGSSLMODE: the sslmode is none of disable, prefer');
    expect(error.message).toContain('2 problems');
  });
});

describe('passwords', () => {
  const yaml = 'source: { host: old, user: me }\ntarget: { host: new, user: me }\n';

  test('the file, then passwordFile, then PGPASSWORD, then .pgpass', () => {
    put('.pgpass', 'old:5432:postgres:me:from\\:pgpass\n');
    put('word', 'from-file\nmore\n');
    expect(load({ yaml }).addresses.source.password).toBe('from:pgpass');
    expect(load({ yaml }).addresses.target.password).toBeUndefined();
    const env = { PGPASSWORD: 'from-env', SECRET: 'from-yaml' };
    expect(load({ yaml, env }).addresses.source.password).toBe('from-env');
    const withFile = yaml.replace('old,', 'old, passwordFile: word,');
    expect(load({ yaml: withFile, env }).addresses.source.password).toBe('from-file');
    const inFile = yaml.replace('old,', 'old, password: "${SECRET}",');
    expect(load({ yaml: inFile, env }).addresses.source.password).toBe('from-yaml');
  });

  test('a .pgpass that others may read is ignored, and said to be', () => {
    const file = put('.pgpass', '*:*:*:*:open', 0o640);
    const { addresses, warnings } = load({ yaml });
    expect(addresses.source.password).toBeUndefined();
    expect(warnings).toEqual([`${file} is ignored: others may read it (chmod 0600 "${file}")`]);
  });

  test('consoles of PgBouncers: password, passwordFile or .pgpass; operations see none of it', () => {
    put('word', 'from file\n');
    put('.pgpass', '127.0.0.1:6432:pgbouncer:c:from pgpass\n');
    const bouncers = ['user: a, password: plain', 'user: b, passwordFile: word', 'user: c'];
    const hook = '{ at: opened, command: [dns], environment: { TOKEN: "${TOKEN}" } }';
    const { config, settings } = load({
      yaml: `source: { host: old }\ntarget: { host: new }\ncutover:\n  hooks: [${hook}]\n  pgbouncer: [${bouncers
        .map((each) => `{ ${each}, file: pgbouncer.ini }`)
        .join(', ')}]\n`,
      env: { TOKEN: 's3cret' },
    });
    const secrets = ['plain', 'from file', 'from pgpass', 's3cret'];
    expect(config.cutover.pgbouncer.map(({ password }) => password)).toEqual(secrets.slice(0, 3));
    expect(config.cutover.pgbouncer[0]?.file).toBe(join(folder, 'pgbouncer.ini'));
    expect(secretsOf(config)).toEqual(expect.arrayContaining(secrets));
    for (const secret of secrets) expect(JSON.stringify(settings)).not.toContain(secret);
  });

  test('webhooks: the address or a file with it; operations see none of it; each has a name of its own', () => {
    put('word', 'https://hooks.internal/from-file\n');
    const of = (...webhooks: string[]) =>
      `source: { host: old }\ntarget: { host: new }\nnotifications: { webhooks: [${webhooks.join(', ')}] }\n`;
    const { config, settings } = load({
      yaml: of('{ name: a, url: "${HOOK}", headers: { Authorization: s3cret } }', '{ name: b, urlFile: word }'),
      env: { HOOK: 'https://hooks.internal/T0/B0' },
    });
    const secrets = ['https://hooks.internal/T0/B0', 's3cret', 'https://hooks.internal/from-file'];
    expect(config.notifications.webhooks.map(({ url }) => url)).toEqual([secrets[0], secrets[2]]);
    expect(secretsOf(config)).toEqual(expect.arrayContaining(secrets));
    for (const secret of secrets) expect(JSON.stringify(settings)).not.toContain(secret);
    const wrong = refusal({
      yaml: of(
        '{ name: a, url: "s3cret" }',
        '{ name: b, url: "https://s3cret", headers: { "a b": s3cret } }',
        '{ name: b, url: "https://h", headers: { A: "s3cret\\n" } }',
      ),
    });
    expect(wrong.message).toMatch(
      /webhooks\.0\.url: .*address like https[^]*webhooks\.1\.headers: names of headers[^]*webhooks\.2\.headers\.A: printable/,
    );
    expect(wrong.message).not.toContain('s3cret');
    expect(refusal({ yaml: of('{ name: a }', '{ name: a, url: "https://h" }') }).message).toMatch(
      /webhooks\.0: it has no address[^]*webhooks\.1: another one is named "a" already/,
    );
  });

  test('a passwordFile that others may read is taken with a warning', () => {
    put('word', 'w', 0o644);
    const { addresses, warnings } = load({ yaml: yaml.replace('old,', 'old, passwordFile: word,') });
    expect(addresses.source.password).toBe('w');
    expect(warnings).toHaveLength(1);
  });

  test('missing, empty, doubled', () => {
    put('empty', '\n');
    expect(refusal({ yaml: yaml.replace('old,', 'old, passwordFile: nowhere,') }).message).toMatch(
      /pgconvoy\.yaml:1:36: source\.passwordFile: .*nowhere cannot be read: there is no such file$/,
    );
    expect(refusal({ yaml: yaml.replace('old,', 'old, passwordFile: empty,') }).message).toMatch(
      /holds no password in its first line$/,
    );
    expect(refusal({ yaml: yaml.replace('old,', 'old, password: a, passwordFile: empty,') }).message).toMatch(
      /both password and passwordFile/,
    );
    expect(refusal({ yaml: `${yaml}queue: { url: 'redis://q', passwordFile: nowhere }` }).message).toMatch(
      /queue\.passwordFile/,
    );
  });

  test("the queue's come from its file too, and all are known as secrets; settings hold none", () => {
    put('word', 'queue-word');
    const loaded = load({
      yaml: 'source: { host: o, password: s1 }\ntarget: { host: n, password: s2 }\nqueue: { url: "redis://u:url%40word@q", passwordFile: word }',
    });
    const secrets = secretsOf(loaded.config);
    expect(secrets.sort()).toEqual(['queue-word', 's1', 's2', 'url%40word', 'url@word']);
    for (const secret of secrets) expect(JSON.stringify(loaded.settings)).not.toContain(secret);
  });

  test("the board's password and token, from files too, are secrets", () => {
    put('word', 'board-word');
    put('token', 'board-token');
    const servers = 'source: { host: o }\ntarget: { host: n }\n';
    const { config, settings } = load({ yaml: `${servers}board: { passwordFile: word, tokenFile: token }` });
    expect(config.board).toMatchObject({ user: 'pgconvoy', password: 'board-word', token: 'board-token' });
    expect(secretsOf(config).sort()).toEqual(['board-token', 'board-word']);
    expect(JSON.stringify(settings)).not.toContain('board-');
    const { message } = refusal({ yaml: `${servers}board: { token: t, tokenFile: token, passwordFile: nowhere }` });
    expect(message).toContain('board: both token and tokenFile are given');
    expect(message).toContain('board.passwordFile:');
  });
});

describe('variables in the file', () => {
  test('are put in by ${NAME} only, also where a number is expected', () => {
    const { addresses, config } = load({
      yaml: 'source: { host: "${H}", password: "a$b$${c}${P}" }\ntarget:\n  host: new\n  port: ${PORT}\n  password: ${PORT}\nbudgets:\n  copies: ${N}\n',
      env: { H: 'old', P: 'pw', PORT: '7', N: '9' },
    });
    expect(addresses.source).toMatchObject({ host: 'old', password: 'a$b${c}pw' });
    expect(addresses.target).toMatchObject({ port: 7, password: '7' });
    expect(config.budgets.copies).toBe(9);
  });

  test('one that is not set is named, with its place', () => {
    const error = refusal({ yaml: 'source:\n  host: ${OLD_HOST}\n  password: x${1y}\n' });
    expect(error.message).toContain('pgconvoy.yaml:2:9: the environment variable OLD_HOST is not set');
    expect(error.message).toContain('pgconvoy.yaml:3:13: what stands after ${ is not the name');
  });
});

describe('mistakes', () => {
  test('all of them at once, in the order of the file, each with place and remedy; exit code 2', () => {
    const error = refusal({
      yaml: [
        'source:',
        '  hsot: old',
        '  port: "5432"',
        '  password: 12345',
        'target: { host: new, sslmode: requre }',
        'budgets: { copies: 0 }',
        'deadlines: { slot: 5 minutes }',
        'databases: { include: app }',
        'passwordFile: x',
        'colour: red',
      ].join('\n'),
    });
    expect(error.exitCode).toBe(2);
    const at = join(folder, 'pgconvoy.yaml');
    expect(error.message.replaceAll(at, 'F').split('\n')).toEqual([
      'the configuration has 9 problems:',
      '  F:2:3: unknown key "source.hsot"',
      '    → Did you mean "host"?',
      '  F:3:9: source.port: a whole number is expected, but this is another text',
      '    → Write the number without quotes.',
      '  F:4:13: source.password: text is expected, but this is a number',
      '    → Put the value in quotes.',
      '  F:5:31: target.sslmode: one of disable, prefer, require, verify-ca, verify-full is expected, but this is "requre"',
      '    → Did you mean "require"?',
      '  F:6:20: budgets.copies: at least 1 is expected, but this is the number 0',
      '    → See config.example.yaml for this key, its meaning and its default.',
      '  F:7:20: deadlines.slot: a duration like 500ms, 30s, 10m or 2h is expected, but this is "5 minutes"',
      '    → See config.example.yaml for this key, its meaning and its default.',
      '  F:8:23: databases.include: a list is expected, e.g. [one, two], but this is another text',
      '    → See config.example.yaml for this key, its meaning and its default.',
      '  F:9:1: unknown key "passwordFile"',
      '    → "passwordFile" belongs under source or target or queue or cutover.pgbouncer or board.',
      '  F:10:1: unknown key "colour"',
      '    → Known at the top are source, target, queue, engine, databases, replication, fix, budgets, deadlines, cutover, comparison, notReplicated, accept, board, watchdog, notifications, tools, state, logLevel.',
    ]);
  });

  test.each([
    ['a tab', 'source:\n\thost: x\n', /pgconvoy\.yaml:2:1: this is not YAML/],
    [
      'a key twice',
      'source: { host: a }\nsource: { host: b }\n',
      /pgconvoy\.yaml:2:1: this is not YAML: Map keys must be unique/,
    ],
    ['two documents', `${BOTH}---\n${BOTH}`, /pgconvoy\.yaml:3:1: this is not YAML/],
    ['a list', '- source\n', /pgconvoy\.yaml:1:1: the file: a section with keys is expected, but this is a list/],
    ['an alias without anchor', 'source: *nowhere\n', /pgconvoy\.yaml[^]*nowhere/],
  ])('%s', (_, yaml, message) => expect(refusal({ yaml }).message).toMatch(message));

  test('a file that cannot be read', () => {
    expect(refusal({ path: 'nowhere.yaml' }).message).toMatch(
      /nowhere\.yaml: the configuration cannot be read: there is no such file$/,
    );
    mkdirSync(join(folder, 'sub'));
    expect(refusal({ path: 'sub' }).message).toMatch(/it is a folder/);
  });

  test('nothing given at all', () => {
    const error = refusal({});
    expect(error.message).toContain('nothing says where the source is');
    expect(error.message).toContain('nothing says where the target is');
  });

  test.each([
    ['postgres://a:b@h:99999/', /port/],
    ['postgres://u:50%@h/', /its password has a % that is not followed/],
    ['postgres://h1,h2/', /several hosts/],
    ['mysql://h/', /does not begin with postgres/],
    ['host=h colour=red', /not known here, "colour"/],
    ["host=h password='open", /neither a URL/],
    ['postgres://h/?sslmode=sure', /its sslmode is none of/],
  ])('the connection string %s', (source, message) => {
    const error = refusal({ flags: { source, target: 'postgres://new' } });
    expect(error.message).toMatch(/^--source: this connection string is not understood/);
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('50%');
  });

  test('Sentinel and Cluster exclude each other', () => {
    const error = refusal({ yaml: `${BOTH}queue:\n  sentinels: [{ host: a }]\n  clusterNodes: [{ host: b }]\n` });
    expect(error.message).toMatch(
      /pgconvoy\.yaml:5:17: queue\.clusterNodes: either sentinels or clusterNodes, not both/,
    );
  });

  test('a waiver is a code, or says why', () => {
    const accept = (text: string) => `${BOTH}accept: [${text}]\n`;
    const waiver = { finding: 'schema-drift', database: 'billing', reason: 'not used' };
    const { settings } = load({
      yaml: accept("large-objects, { finding: schema-drift, database: billing, reason: 'not used' }"),
    });
    expect(settings.accept).toEqual(['large-objects', waiver]);
    for (const wrong of ['{ finding: schema-drift }', "{ finding: schema-drift, why: 'x' }", '7']) {
      expect(refusal({ yaml: accept(wrong) }).message).toMatch(
        /accept\.0: a code like large-objects, or \{ finding: .*, reason: why \} is expected/,
      );
    }
  });

  test('a section whose keys are all commented out is empty, not wrong', () => {
    expect(load({ yaml: `${BOTH}queue:\n  # url: redis://q\n` }).config.queue.url).toBeUndefined();
  });
});

describe('sslmode', () => {
  const ssl = (rest: string, env = {}) =>
    load({ yaml: `source: { host: old, ${rest} }\ntarget: { host: new }`, env }).addresses.source.ssl;

  test('is what libpq means by it', () => {
    put('ca.pem', 'CERT');
    expect(ssl('sslmode: disable')).toBe(false);
    expect(ssl('sslmode: prefer')).toEqual({ rejectUnauthorized: false });
    expect(ssl('sslmode: require')).toEqual({ rejectUnauthorized: false });
    expect(ssl('sslmode: require, sslrootcert: ca.pem')).toMatchObject({
      rejectUnauthorized: true,
      ca: 'CERT',
      checkServerIdentity: expect.any(Function) as unknown,
    });
    expect(ssl('sslmode: verify-ca, sslrootcert: ca.pem')).toMatchObject({
      ca: 'CERT',
      checkServerIdentity: expect.any(Function) as unknown,
    });
    expect(ssl('sslmode: verify-full', { PGSSLROOTCERT: join(folder, 'ca.pem') })).toEqual({
      rejectUnauthorized: true,
      ca: 'CERT',
    });
    expect(ssl('sslmode: verify-full, sslrootcert: system')).toEqual({ rejectUnauthorized: true });
    mkdirSync(join(folder, '.postgresql'));
    writeFileSync(join(folder, '.postgresql', 'root.crt'), 'ROOT');
    expect(ssl('sslmode: verify-full')).toEqual({ rejectUnauthorized: true, ca: 'ROOT' });
  });

  test('never applies to a unix socket', () => {
    expect(
      load({ flags: { source: 'postgres://%2Frun%2Fpg/?sslmode=require', target: 'postgres://new' } }).addresses.source
        .ssl,
    ).toBe(false);
  });

  test('verifying needs certificates that can be read', () => {
    const yaml = (rest: string) => `source: { host: old, ${rest} }\ntarget: { host: new }`;
    expect(refusal({ yaml: yaml('sslmode: verify-full') }).message).toMatch(
      /pgconvoy\.yaml:1:31: source: sslmode verify-full needs the certificates/,
    );
    expect(refusal({ yaml: yaml('sslmode: verify-ca, sslrootcert: nowhere') }).message).toMatch(
      /sslrootcert .*nowhere cannot be read/,
    );
  });
});
