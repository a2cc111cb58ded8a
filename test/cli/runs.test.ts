import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Report } from '../../src/cli/report/report.ts';
import { widthOf } from '../../src/cli/render/text.ts';
import type { RunLine, RunView } from '../../src/queue/types.ts';
import { onServer } from '../helpers/pair.ts';
import { builtProgram, Program } from '../helpers/program.ts';
import { startCluster, startRedis } from '../helpers/servers.ts';
import type { Cluster, RedisServer } from '../helpers/servers.ts';
import { PseudoTerminal } from '../helpers/pseudo-terminal.ts';
import { eventually } from '../helpers/wait.ts';

let source: Cluster;
let target: Cluster;
let redis: RedisServer;
let program: Program;

beforeAll(async () => {
  [source, target, redis] = await Promise.all([startCluster({ major: 15 }), startCluster({ major: 18 }), startRedis()]);
  program = await Program.open({ source, target, redis });
  await onServer(source, 'postgres', 'create database zoo');
  await onServer(source, 'postgres', 'create database "My ""odd"" DB"');
  await onServer(
    source,
    'zoo',
    'create table animal (id int primary key, name text); insert into animal select n, $$x$$ from generate_series(1, 100) n; create sequence tickets; select nextval($$tickets$$)',
  );
  await onServer(source, 'My "odd" DB', 'create table "Order Items" ("select" int primary key)');
});
afterAll(async () => {
  await program?.close();
  await Promise.all([source, target, redis].map((server) => server?.stop()));
});

const at = (cluster: Cluster, part: Readonly<Record<string, string | number>> = {}) =>
  Object.entries({
    host: cluster.host,
    port: cluster.port,
    user: cluster.user,
    password: cluster.password,
    sslmode: 'disable',
    ...part,
  })
    .map(([key, value]) => `${key}='${String(value).replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`)
    .join(' ');

const runs = async () => (await program.json<{ runs: readonly RunLine[] }>('runs')).document.runs;

describe('wrong input: one clear message with the remedy, an exit code of its own, and nothing is started', () => {
  test.each<[string, () => readonly string[], number, RegExp]>([
    ['an unreachable host', () => ['--source', at(source, { port: 1 })], 4, /source.*127\.0\.0\.1:1/s],
    [
      'a wrong password',
      () => ['--target', at(target, { password: 'wrong' })],
      4,
      /target.*refuses the password of user "postgres"/s,
    ],
    ['a database that is not there', () => ['--databases', 'zo'], 2, /has no database "zo"/],
    ['a pattern that leaves nothing', () => ['--exclude', '*'], 2, /no database takes part/],
    [
      'a target older than the source',
      () => ['--source', at(target), '--target', at(source)],
      2,
      /is older than the source/,
    ],
    ['source and target the same cluster', () => ['--target', at(source)], 2, /the same cluster/],
    ['a queue that is down', () => ['--queue', 'redis://127.0.0.1:1'], 4, /queue.*cannot be reached/],
  ])('%s', async (_, words, code, said) => {
    const told = await program.json('setup', ...words());
    expect(told.document).toEqual({
      ok: false,
      error: { message: expect.stringMatching(said), hint: expect.stringMatching(/\S/), code },
    });
    expect(told.code).toBe(code);
  });

  test('as a person sees it: message, remedy, nothing on stdout', async () => {
    const { code, stdout, stderr } = await program.run('setup', '--databases', 'zo');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^error: the source has no database "zo"\n {2}→ .*"zoo"/);
    expect(await runs()).toEqual([]);
  });
});

test('a plan changes nothing and names what is left out', async () => {
  const { code, stdout } = await program.run('plan');
  expect(code).toBe(0);
  expect(stdout).toContain('My "odd" DB  zoo');
  expect(stdout).toContain('template0: ');
  expect(stdout).toMatch(/\d+\. Approval: Switch over now\?/);
  expect(stdout).toMatch(/Nothing was changed\.$/);
  const { document } = await program.json('plan', 'stop');
  expect(document).toMatchObject({
    ok: true,
    plan: { workflow: 'stop', databases: [{ name: 'My "odd" DB' }, { name: 'zoo' }] },
  });
  expect(await runs()).toEqual([]);
});

test('without a worker it says so; who leaves by Ctrl-C is told how to come back; the run goes on from where it is', async () => {
  const following = execa(process.execPath, [await builtProgram(), 'check'], {
    cwd: program.folder,
    stdin: 'ignore',
    reject: false,
  });
  let told = '';
  following.stderr.on('data', (data: Buffer) => (told += data.toString()));
  await eventually(() =>
    expect(told).toContain('no worker is listening on this queue: start one with pgconvoy worker'),
  );
  following.kill('SIGINT');
  const left = await following;
  const [run] = await runs();
  expect({ signal: left.signal, stdout: left.stdout }).toEqual({ signal: 'SIGINT', stdout: '' });
  expect(told).toContain(`join it again: pgconvoy status ${run!.id} --watch`);
  expect(run).toMatchObject({ workflow: 'check', state: 'running', databases: 2 });

  const seen = await program.run('status');
  expect(seen.code).toBe(0);
  expect(seen.stdout).toContain('! no worker is listening on this queue');

  const detached = await program.run('check', '--detach');
  expect(detached.stdout).toMatch(/^check-\d{4}-\d{4}-\w{3}$/);
  expect(detached.stderr).toContain('! no worker is listening on this queue');

  await program.startWorker();
  for (const id of [run!.id, detached.stdout]) {
    const joined = await program.json<{ run: RunView }>('status', id, '--watch');
    expect({ code: joined.code, state: joined.document.run.state }).toEqual({ code: 0, state: 'completed' });
  }
});

/** At a terminal of 80 columns, of somebody who wants no colours. @returns the exit code */
async function atEightyColumns(...words: readonly string[]): Promise<number> {
  const terminal = new PseudoTerminal([process.execPath, await builtProgram(), ...words], {
    cwd: program.folder,
    env: { NO_COLOR: '1', HOME: program.folder },
    columns: 80,
  });
  const code = await terminal.ended();
  expect(terminal.screen).toMatch(/\S/);
  // What a person copies stays in one piece.
  const lines = terminal.screen.split('\n').filter((line) => !/^ *→/.test(line));
  expect(lines.filter((line) => widthOf(line) > 80)).toEqual([]);
  // Movements of the cursor are no colours.
  const escapes = terminal.written.split('\u001b').slice(1);
  expect(escapes.filter((one) => /^\[[\d;]*m/.test(one))).toEqual([]);
  return code;
}

describe('with a worker', () => {
  test('what blocks is told in full, ends with 3, and retry carries the run on', async () => {
    await onServer(source, 'zoo', 'create table fish (name text)');
    const checked = await program.json('check');
    expect(checked.code).toBe(3);
    expect(checked.document).toMatchObject({
      ok: false,
      code: 3,
      findings: expect.arrayContaining([
        expect.objectContaining({ severity: 'block', database: 'zoo', code: 'no-replica-identity' }),
      ]),
    });

    const blocked = await program.run('setup', '--no-color');
    const [run] = await runs();
    expect(blocked.code).toBe(3);
    expect(blocked.stdout).toContain('✗ zoo: check-database failed');
    expect(blocked.stdout).toContain(`→ then: pgconvoy retry ${run!.id} --database zoo`);
    expect(blocked.stdout).toMatch(/1 step failed in 1 database; 1 other\s+database\s+went\s+as\s+far\s+as\s+possible/);

    expect(await atEightyColumns('status', run!.id, '--watch')).toBe(3);
    // The remedy is a run of its own, and the one that is held up before any change does not stand in its way.
    expect((await program.run('fix')).code).toBe(0);
    const retried = await program.json('retry');
    expect(retried.document).toMatchObject({
      ok: true,
      run: run!.id,
      retried: [{ key: 'check-database', database: 'zoo' }],
    });
    expect((await program.run('status', run!.id, '--watch')).stdout).toMatch(
      /^✓ setup completed in .*: 2 databases; \d+ steps changed something/,
    );
  });

  test('again: the second time changes nothing and says so', async () => {
    const again = await program.run('setup');
    expect(again.code).toBe(0);
    expect(again.stdout).toMatch(/; nothing to change: \d+ steps\s+already\s+hold/);
  });

  test('an upgrade without a terminal ends with 6 and the line to type', async () => {
    const waiting = await program.run('upgrade');
    expect(waiting.code).toBe(6);
    expect(waiting.stdout).toContain(`approve it: pgconvoy approve ${(await runs())[0]!.id}`);
  });

  test('cancel and resume find the only run they can mean', async () => {
    const [run] = await runs();
    expect((await program.run('cancel')).stdout).toContain(`cancelled: ${run!.id}`);
    const cancelled = await eventually(async () => {
      const seen = await program.json<{ run: RunView }>('status', run!.id);
      expect(seen.document.run.state).toBe('cancelled');
      return seen;
    });
    expect(cancelled.code).toBe(5);
    expect(
      await eventually(async () => {
        const resumed = await program.run('resume');
        expect(resumed.stderr).toBe('');
        return resumed.stdout;
      }),
    ).toContain(`resumed: ${run!.id}`);
    expect((await program.run('status', run!.id, '--watch')).code).toBe(6);
  });

  test('approve carries the upgrade to its end', async () => {
    const { run } = (await program.json<{ run: RunView }>('status')).document;
    expect((await program.run('status')).stdout).toMatch(/^engine {2}native; .*\n\n.*2 databases: 2 replicating\n/ms);
    const followed = atEightyColumns('status', run.id, '--watch');
    expect((await program.run('approve')).stdout).toContain('approved: Switch over now?');
    expect(await followed).toBe(0);
    const done = await program.json<{ run: RunView; outages: readonly { database: string; milliseconds: number }[] }>(
      'status',
      run.id,
      '--watch',
    );
    expect({ code: done.code, state: done.document.run.state }).toEqual({ code: 0, state: 'completed' });
    expect(done.document.outages.map(({ database }) => database).toSorted()).toEqual(['My "odd" DB', 'zoo']);
    expect(await onServer(target, 'zoo', 'select count(*)::int as rows from animal')).toEqual([{ rows: 100 }]);

    const twice = await program.run('approve');
    expect(twice).toMatchObject({ code: 2, stdout: '' });
    expect(twice.stderr).toContain('no run waits for approval');
  });

  test('report: the same facts as JSON, Markdown and HTML, and no secret', async () => {
    const { document } = await program.json<{ ok: boolean; report: Report }>('report');
    const { report } = document;
    const me = expect.stringMatching(/^.+@.+$/);
    expect(document.ok).toBe(true);
    expect(report).toMatchObject({
      run: { workflow: 'upgrade', state: 'completed', by: me },
      approvals: [{ title: 'Switch over now?', state: 'approved', by: me, at: expect.any(Number) }],
      engine: 'native',
      servers: {
        source: {
          recorded: expect.stringContaining('PostgreSQL 15.'),
          unreachable: null,
          ledger: { fence: 2, opened: 2 },
        },
        target: { version: expect.stringMatching(/^18/), unreachable: null, ledger: { opened: 2 } },
      },
      outage: { databases: 2, medianMs: expect.any(Number) },
    });
    const zoo = report.databases.find(({ name }) => name === 'zoo')!;
    expect(zoo).toMatchObject({
      state: 'open',
      cutover: { from: 'run', lsn: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/) },
      sequences: {
        total: 1,
        changed: 1,
        listed: [
          {
            sequence: '"public"."tickets"',
            before: { last: '1', called: false },
            after: { last: '1', called: true },
          },
        ],
      },
      comparison: { method: 'checksum', rows: 100 },
    });
    expect(zoo.comparison!.listed).toContainEqual({
      table: '"public"."animal"',
      rows: 100,
      sum: expect.stringMatching(/^-?\d+$/),
    });
    expect(zoo.steps.every(({ milliseconds, attempts }) => milliseconds !== null && attempts >= 1)).toBe(true);

    const markdown = await program.run('report', report.run.id);
    expect(markdown.stdout).toContain(`# pgconvoy report: ${report.run.id}\n`);
    expect(markdown.stdout).toContain('## Database My "odd" DB\n');
    const file = join(program.folder, 'report.html');
    const written = await program.run('report', '--format', 'html', '--output', file);
    expect(written).toMatchObject({ code: 0, stdout: '', stderr: `report on ${report.run.id}: ${file}` });
    const html = readFileSync(file, 'utf8');
    expect(html).toContain('<h2>Database My &quot;odd&quot; DB</h2>');
    for (const text of [JSON.stringify(document), markdown.stdout, html])
      for (const { password } of [source, target]) expect(text).not.toContain(password);

    const nowhere = await program.run('report', '--output', join(program.folder, 'none', 'report.md'));
    expect(nowhere).toMatchObject({ code: 2, stderr: expect.stringContaining('cannot be written') });
    const away = await program.json<{ report: Report }>('report', '--target', at(target, { port: 1 }));
    expect(away.document.report.servers.target).toMatchObject({ unreachable: expect.any(String), ledger: null });
    expect(away.document.report.databases).toEqual(report.databases);
  });

  test('upgrade, again: every database is open, so nobody is asked and nothing is changed', async () => {
    const again = await program.run('upgrade');
    expect(again.stdout).toMatch(/nothing to change: \d+ steps\s+already\s+hold/);
    expect(again.code).toBe(0);
  });

  test('logs of one database, from the latest run', async () => {
    const { document } = await program.json<{ lines: readonly { database?: string }[] }>('logs', '--database', 'zoo');
    expect(new Set(document.lines.map(({ database }) => database))).toEqual(new Set(['zoo']));
  });

  test('uninstall, twice', async () => {
    expect((await program.run('uninstall')).stdout).toMatch(/^✓ uninstall completed/);
    expect((await program.run('uninstall')).stdout).toMatch(/nothing to change: \d+ steps\s+already\s+hold/);
  });
});
