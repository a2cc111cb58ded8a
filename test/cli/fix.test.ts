import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ConfigInput } from '../../src/config/schema.ts';
import type { RunView } from '../../src/queue/types.ts';
import type { PlannedIdentities } from '../../src/runtime/planned-identities.ts';
import { onServer } from '../helpers/pair.ts';
import { builtProgram, Program } from '../helpers/program.ts';
import { startCluster, startRedis } from '../helpers/servers.ts';
import type { Cluster, RedisServer } from '../helpers/servers.ts';

let source: Cluster;
let target: Cluster;
let redis: RedisServer;
const ODD = 'My "odd" DB';

beforeAll(async () => {
  [source, target, redis] = await Promise.all([startCluster({ major: 15 }), startCluster({ major: 18 }), startRedis()]);
  await onServer(source, 'postgres', 'create database zoo');
  await onServer(source, 'postgres', 'create database "My ""odd"" DB"');
  await onServer(
    source,
    'zoo',
    `create table animal (id int primary key);
     create table fish (name text);
     create table keyed (a int not null unique);
     create table log (body json);
     insert into log select to_json(n) from generate_series(1, 1000) n;
     analyze log`,
  );
  await onServer(source, ODD, 'create schema "S,"; create table "S,"."Order Items" ("select" json)');
});
afterAll(() => Promise.all([source, target, redis].map((server) => server?.stop())));

const KEY: ConfigInput = {
  fix: {
    tables: [
      { database: 'zoo', table: 'public.log', choice: 'surrogate-key' },
      { table: 'public.lgo', choice: 'skip' },
    ],
  },
};

const open = (prefix: string, config: ConfigInput = {}) =>
  Program.open({ source, target, redis, config: { ...config, queue: { url: redis.url, prefix } } });

/** As little space between words as there can be, wherever lines were broken. */
const flat = (text: string) => text.replaceAll(/\s+/g, ' ');

const columnsOf = async (server: Cluster, database: string) =>
  (
    await onServer(
      server,
      database,
      `select format('%s.%s %s', attrelid::regclass, attname, coalesce(pg_get_expr(adbin, adrelid), '')) as text
         from pg_attribute a join pg_class c on c.oid = attrelid left join pg_attrdef d on adrelid = attrelid and adnum = attnum
        where c.relkind in ('r', 'S') and attnum > 0 and not attisdropped and c.oid >= 16384
          and c.relnamespace::regnamespace::text not in ('pg_toast', 'information_schema', 'pgconvoy')
       union all select format('%s %s', c.oid::regclass, relreplident) from pg_class c
        where c.relkind = 'r' and c.oid >= 16384 and c.relnamespace::regnamespace::text not in ('pg_toast', 'information_schema', 'pgconvoy')
        order by 1`,
    )
  ).map(({ text }) => String(text));

test('plan fix: each table with its choice, why, and what it costs; lines for those that need a decision', async () => {
  await using program = await open('plan');
  const { code, stdout } = await program.run('plan', 'fix');
  expect(code).toBe(0);
  expect(flat(stdout)).toContain(
    `4 tables without a replica identity database "My "odd" DB" S,.Order Items needs a decision`,
  );
  expect(stdout).toMatch(/^ {4}public\.fish +whole row +8\.0 kB +no index serves, and all columns can be compared$/m);
  expect(stdout).toMatch(/^ {4}public\.keyed +index keyed_a_key +0 bytes +unique and on NOT NULL columns$/m);
  expect(flat(stdout)).toContain('since the type of these columns knows no equality: body json');
  expect(flat(stdout)).toContain(
    'What it costs index (1): Free: an exclusive lock for a moment, nothing is rewritten.',
  );
  expect(flat(stdout)).toContain('whole row (1): An exclusive lock for a moment');
  expect(stdout).toContain(
    [
      '  → fix:',
      '      tables:',
      '        - { database: "My \\"odd\\" DB", table: "S,.Order Items", choice: surrogate-key }',
      '        - { database: "zoo", table: "public.log", choice: surrogate-key }',
    ].join('\n'),
  );
});

test('the same for programs, with the size of what is at stake', async () => {
  await using program = await open('plan', KEY);
  const { code, document } = await program.json<{ identities: PlannedIdentities }>('plan', 'fix', '--databases', 'zoo');
  expect(code).toBe(0);
  expect(document.identities).toEqual({
    tables: [
      expect.objectContaining({ database: 'zoo', table: 'public.fish', choice: 'full', rewrites: false, walBytes: 0 }),
      expect.objectContaining({ database: 'zoo', table: 'public.keyed', choice: 'index', index: 'keyed_a_key' }),
      {
        database: 'zoo',
        table: 'public.log',
        choice: 'surrogate-key',
        why: 'no index serves, and the configuration asks for it',
        cost: expect.stringMatching(/rewritten, with its indexes, under an exclusive lock.*__pgconvoy_id/),
        rewrites: true,
        bytes: expect.any(Number),
        rows: 1000,
        walBytes: expect.any(Number),
      },
    ],
    unused: ['{ database: *, table: public.lgo }'],
  });
});

test('a key column needs a word: without one nothing is touched', async () => {
  await using program = await open('refused', KEY);
  const before = await columnsOf(source, 'zoo');
  const nobody = await program.run('fix', '--databases', 'zoo');
  expect({ code: nobody.code, stdout: nobody.stdout }).toEqual({ code: 2, stdout: '' });
  expect(nobody.stderr).toMatch(/public\.log +key column, by a rewrite .* ~1,000 rows .*the configuration asks for it/);
  expect(nobody.stderr).toContain('! fix.tables: no table fits { database: *, table: public.lgo }');
  expect(flat(nobody.stderr)).toContain('Give 3 tables a replica identity as said, with a key column in one of them?');
  expect(nobody.stderr).toContain('→ Give --yes when you are sure; pgconvoy plan fix shows what it would do.');

  const main = await builtProgram();
  const asked = await execa('script', ['-qec', `'${process.execPath}' '${main}' fix --databases zoo`, '/dev/null'], {
    cwd: program.folder,
    input: 'n\n',
    reject: false,
  });
  expect(flat(asked.stdout)).toContain('with a key column in one of them? [y/N]');
  expect(asked.stdout).toContain('Nothing was started.');
  expect(asked.exitCode).toBe(5);

  // An upgrade does what the configuration says, and shows it. No worker is here to begin.
  const upgrade = await program.run('upgrade', '--detach', '--databases', 'zoo');
  expect(upgrade.code).toBe(0);
  expect(upgrade.stderr).toMatch(/public\.log +key column, by a rewrite/);
  expect(await columnsOf(source, 'zoo')).toEqual(before);
});

test('an upgrade that one database holds up has changed no table of another', async () => {
  await using program = await open('blocked', KEY);
  await program.startWorker();
  const before = await columnsOf(source, 'zoo');
  const { code, document } = await program.json<{ findings: readonly Record<string, unknown>[] }>('upgrade');
  expect(code).toBe(3);
  // What fix is about to mend is none.
  expect(document.findings.filter(({ severity }) => severity === 'block')).toEqual([
    expect.objectContaining({ code: 'no-replica-identity', database: ODD, object: 'S,.Order Items' }),
  ]);
  expect(await columnsOf(source, 'zoo')).toEqual(before);
  expect(await onServer(source, 'postgres', `select from pg_roles where rolname = 'pgconvoy_replication'`)).toEqual([]);
  expect(
    await onServer(target, 'postgres', `select from pg_database where datname in ('zoo', 'pgconvoy_canary')`),
  ).toEqual([]);
});

test('the whole road with a key column: it replicates, and uninstall drops it on both sides', async () => {
  await using program = await open('road', KEY);
  await program.startWorker();
  const before = await columnsOf(source, 'zoo');
  const done = async (...words: string[]) => {
    const ended = await program.json<{ run: RunView; problems: unknown; findings: unknown; identities?: unknown }>(
      ...words,
      '--databases',
      'zoo',
    );
    expect(ended.code, `${words.join(' ')}: ${ended.stdout} ${ended.stderr}`).toBe(0);
    return ended;
  };
  const { document, stderr } = await done('fix', '--yes');
  expect(document.identities).toMatchObject({ tables: [{}, {}, { table: 'public.log', choice: 'surrogate-key' }] });
  expect(stderr).toContain('key column, by a rewrite');
  expect((await columnsOf(source, 'zoo')).some((column) => column.startsWith('log.__pgconvoy_id nextval('))).toBe(true);

  await done('setup');
  await done('start');
  await onServer(source, 'zoo', `insert into log values ('"new"'); delete from log where body::text = '7'`);
  await onServer(source, 'zoo', `update log set body = '"changed"' where body::text = '8'`);
  await done('stop', '--yes');
  const bodies = `select md5(string_agg(body::text, ',' order by body::text)) as sum, count(*)::int as rows from log`;
  const [there] = await onServer(source, 'zoo', bodies);
  expect(there).toMatchObject({ rows: 1000 });
  // The application goes on: its rows get numbers that are new.
  await onServer(target, 'zoo', `insert into log select '"later"' from generate_series(1, 50)`);
  await onServer(target, 'zoo', `delete from log where body::text = '"later"'`);
  expect(await onServer(target, 'zoo', bodies)).toEqual([there]);

  await done('uninstall');
  expect(await columnsOf(source, 'zoo')).toEqual(before);
  expect(await columnsOf(target, 'zoo')).toEqual(before);
});
