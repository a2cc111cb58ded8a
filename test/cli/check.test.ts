import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Point } from '../../src/engine/point.ts';
import { id } from '../../src/postgres/sql.ts';
import { onServer } from '../helpers/pair.ts';
import { Program } from '../helpers/program.ts';
import { freePort } from '../helpers/server-process.ts';
import { sharedCluster, startRedis } from '../helpers/servers.ts';
import type { ClusterInfo, RedisServer } from '../helpers/servers.ts';

const suffix = randomBytes(4).toString('hex');
const [good, fishy] = [`good ${suffix}`, `My "odd" DB ${suffix}`];

let source: ClusterInfo;
let target: ClusterInfo;
let redis: RedisServer;
let program: Program;

beforeAll(async () => {
  [source, target, redis] = await Promise.all([sharedCluster(15), sharedCluster(18), startRedis()]);
  for (const name of [good, fishy]) await onServer(source, 'postgres', `create database ${id(name).text}`);
  await onServer(source, good, 'create table animal (id int primary key)');
  await onServer(source, fishy, 'create table fish (name text); create table animal (id int primary key)');
  program = await Program.open({ source, target, redis, config: { queue: { url: redis.url, prefix: 'check' } } });
  await program.startWorker();
});
afterAll(async () => {
  await program?.close();
  for (const name of [good, fishy]) await onServer(source, 'postgres', `drop database if exists ${id(name).text}`);
  await redis?.stop();
});

interface CheckDocument {
  readonly code: number;
  readonly points: readonly (Point & { readonly state: string })[];
  readonly findings: readonly { readonly code: string; readonly point?: string }[];
}

async function checkJson(words: readonly string[], of: Program = program) {
  return (await of.json<CheckDocument>('check', '--no-canary', ...words, '--databases', `*${suffix}`)).document;
}

const check = (words: readonly string[], pattern = `*${suffix}`) =>
  program.run('check', ...words, '--databases', pattern);

/** The lines of a section, without its findings. */
function section(stdout: string, title: string): string[] {
  const lines = stdout.split('\n');
  const from = lines.indexOf(title);
  if (from === -1) return [];
  const to = lines.findIndex((line, index) => index > from && /^\S|^$/.test(line));
  return lines.slice(from + 1, to).filter((line) => /^ {2}\S/.test(line));
}

test('all: every point is a line, with what is needed, in use and free; databases that have nothing are one line', async () => {
  const { code, stdout } = await check(['--no-canary']);
  expect(code).toBe(3);
  expect(section(stdout, 'This machine')).toEqual([
    expect.stringMatching(/^ {2}OK {3}temporary folder: \//),
    expect.stringMatching(/^ {2}OK {3}client tools: pg_dump 18\.\d+ in \//),
  ]);
  const here = section(stdout, 'Source');
  expect(here).toContainEqual(
    expect.stringMatching(/^ {2}OK {3}connection: 127\.0\.0\.1:\d+ as "postgres", PostgreSQL 15\.\d+$/),
  );
  expect(here).toContain('  OK   wal_level: logical');
  expect(here).toContainEqual(
    expect.stringMatching(/^ {2}OK {3}max_replication_slots: \d+ needed, \d+ in use, \d+ free$/),
  );
  expect(here).toContainEqual(expect.stringMatching(/^ {2}OK {3}max_wal_senders: \d+ needed, \d+ in use, \d+ free$/));
  expect(here).toContainEqual(
    expect.stringMatching(/^ {2}OK {3}pg_hba\.conf: pgconvoy_replication from 127\.0\.0\.1$/),
  );
  const there = section(stdout, 'Target');
  for (const limit of ['max_logical_replication_workers', 'max_worker_processes', 'max_active_replication_origins']) {
    expect(there).toContainEqual(
      expect.stringMatching(new RegExp(`^  OK   ${limit}: \\d+ needed, \\d+ in use, \\d+ free$`)),
    );
  }
  expect(there).toContain('  OK   versions: 15 to 18, engine native');
  expect(stdout).toMatch(new RegExp(`^Database "good ${suffix}"  OK   11 points$`, 'm'));
  expect(section(stdout, `Database "My "odd" DB ${suffix}"`)).toEqual([
    '  KO   replica identities',
    '  OK   10 other points',
  ]);
  expect(stdout).toContain('Table "public"."fish"');
});

test('source alone: the target is not asked', async () => {
  const { code, points } = await checkJson(['source']);
  expect(code).toBe(3);
  expect(new Set(points.map(({ side }) => side))).toEqual(new Set(['here', 'source']));
  expect(points).toContainEqual(
    expect.objectContaining({
      id: 'replica-identities',
      database: fishy,
      state: 'KO',
      ok: false,
      findings: ['no-replica-identity'],
    }),
  );
});

test.each(['target', 'destination'])('%s alone: limits are counted for the databases of the source', async (side) => {
  const { code, points } = await checkJson([side]);
  expect(code).toBe(0);
  expect(new Set(points.map((point) => point.side))).toEqual(new Set(['here', 'target']));
  // Two apply workers, and two tables of each copied at once.
  expect(points.find(({ id: point }) => point === 'max_logical_replication_workers')?.capacity).toMatchObject({
    needed: 6,
  });
});

test('every finding names its point, and points their findings', async () => {
  const { points, findings } = await checkJson([]);
  for (const { code, point } of findings) {
    expect(points.find((each) => each.id === point && each.findings.includes(code))).toBeDefined();
  }
});

test('an unknown side is wrong usage', async () => {
  const { code, stderr } = await program.run('check', 'sauce');
  expect(code).toBe(2);
  expect(stderr).toContain('source');
});

describe('a server that is away hides nothing of the other', () => {
  test('the target', async () => {
    const port = await freePort();
    await using other = await Program.open({
      source,
      target,
      redis,
      config: { queue: { url: redis.url, prefix: 'no-target' }, target: { port } },
    });
    await other.startWorker();
    const { code, stdout } = await other.run('check', '--databases', `*${suffix}`);
    expect(code).toBe(4);
    expect(section(stdout, 'Target')).toEqual([`  KO   connection: 127.0.0.1:${port}`]);
    expect(stdout).toContain('[server-unreachable]');
    expect(section(stdout, 'Source')).toContain('  OK   wal_level: logical');
    expect(stdout).toContain('Table "public"."fish"');
    expect((await checkJson(['source'], other)).code).toBe(3);
  });

  test('the source, whose password is wrong', async () => {
    await using other = await Program.open({
      source,
      target,
      redis,
      config: { queue: { url: redis.url, prefix: 'no-source' }, source: { password: 'wrong' } },
    });
    await other.startWorker();
    const { code, points, findings } = await checkJson([], other);
    expect(code).toBe(4);
    expect(findings).toMatchObject([{ code: 'server-unreachable', point: 'connection', side: 'source' }]);
    expect(points.filter(({ side }) => side === 'source').map(({ id: point, state }) => [point, state])).toEqual([
      ['connection', 'KO'],
    ]);
    expect(points.find(({ id: point }) => point === 'max_worker_processes')).toMatchObject({
      side: 'target',
      ok: true,
    });
    expect(JSON.stringify(findings)).not.toContain('p%41ss');
  });
});
