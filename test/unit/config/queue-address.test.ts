import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { secretsOf } from '../../../src/config/secrets.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pgconvoy-queue-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const load = (queue: string, env: Readonly<Record<string, string>> = {}, flag?: string) => {
  writeFileSync(join(folder, 'pgconvoy.yaml'), `source: { host: old }\ntarget: { host: new }\nqueue: ${queue}\n`);
  return loadConfig({ env: { HOME: folder, ...env }, flags: { queue: flag }, cwd: folder });
};

test('an address alone is a queue', () => {
  expect(load('redis://q:6380').config.queue).toMatchObject({ url: 'redis://q:6380', prefix: 'pgconvoy' });
  expect(load('redis://q:6380').config.queue.server).toBeUndefined();
  expect(load('postgres://me@jobs').config.queue.server).toMatchObject({
    host: 'jobs',
    port: 5_432,
    user: 'me',
    database: 'postgres',
    sslmode: 'prefer',
    shown: 'postgres://jobs:5432/postgres',
  });
});

test('a PostgreSQL address is read as psql reads it; passwords from the URL, the file, PGPASSWORD and .pgpass are secrets, and never shown', () => {
  const byUrl = load('redis://q', {}, 'postgresql://me:s%40crt@[::1]:5433/my%20jobs?sslmode=disable').config;
  expect(byUrl.queue.server).toMatchObject({ host: '::1', password: 's@crt', database: 'my jobs', ssl: false });
  expect(byUrl.queue.server?.shown).toBe('postgres://[::1]:5433/my jobs');
  expect(secretsOf(byUrl)).toContain('s@crt');

  writeFileSync(join(folder, 'word'), 'from-file\n', { mode: 0o600 });
  const byFile = load('{ url: "postgres://${WHO}@jobs", passwordFile: word }', { WHO: 'me', PGPASSWORD: 'other' });
  expect(byFile.config.queue.server).toMatchObject({ user: 'me', password: 'from-file' });
  expect(secretsOf(byFile.config)).toContain('from-file');
  expect(load('postgres://me@jobs', { PGPASSWORD: 'from-env' }).config.queue.server?.password).toBe('from-env');
  writeFileSync(join(folder, '.pgpass'), 'jobs:5432:*:me:from-pgpass\n', { mode: 0o600 });
  expect(load('postgres://me@jobs').config.queue.server?.password).toBe('from-pgpass');
});

test('what is wrong with it is told at its place, without its text', () => {
  const refusal = (queue: string): string => {
    try {
      load(queue);
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error('it was accepted');
  };
  expect(refusal('postgres:///x')).toMatch(/pgconvoy\.yaml:3:\d+: queue\.url: it names no host/);
  expect(refusal('{ url: "postgres://me:geheim@a,b/x" }')).toMatch(/queue\.url: .*names several hosts/);
  expect(refusal('postgres://me:geheim@a/x?sslmode=sometimes')).toMatch(/queue\.url: .*sslmode is none of/);
  expect(refusal('postgres://me:geheim@a/x?sslmode=verify-full')).toMatch(/needs the certificates to trust/);
  expect(refusal('mysql://me:geheim@a')).toMatch(/queue\.url: .*postgres:\/\/user@host\/database is expected/);
  for (const queue of ['postgres://me:geheim@h:x/x', '{ url: "postgres://me:geheim@a,b/x" }', 'mysql://me:geheim@a'])
    expect(refusal(queue)).not.toContain('geheim');
});
