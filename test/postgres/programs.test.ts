import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { ConfigError, UnreachableError } from '../../src/errors.ts';
import { Cluster } from '../../src/postgres/cluster.ts';
import { createPrograms } from '../../src/postgres/programs.ts';
import { TestPair } from '../helpers/pair.ts';
import { sharedCluster } from '../helpers/servers.ts';

let pair: TestPair;
let folder: string;
beforeAll(async () => {
  pair = await TestPair.open({ source: 15, target: 18 });
  folder = await mkdtemp(join(tmpdir(), 'programs-'));
});
afterAll(async () => {
  await pair[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});
const signal = new AbortController().signal;
const EVERYTHING = { comments: true, labels: true };

/** Programs that write down what they are called with, and do as they are told. */
async function fakePrograms(name: string, version: string, script: string): Promise<string> {
  const bin = join(folder, name);
  await mkdir(bin);
  for (const program of ['pg_dump', 'pg_restore']) {
    const text = `#!/bin/sh\nif [ "$1" = --version ]; then echo "${program} (PostgreSQL) ${version} (fake)"; exit 0; fi\n${script}\n`;
    await writeFile(join(bin, program), text);
    await chmod(join(bin, program), 0o755);
  }
  return bin;
}

describe('which programs', () => {
  test('the folder that is named', async () => {
    const { bin, major } = await createPrograms({ bin: pair.target.bin }).version();
    expect({ bin, major }).toEqual({ bin: pair.target.bin, major: 18 });
  });

  test('the newest of all that are found', async () => {
    const [older, newer] = [await fakePrograms('97', '97.9', ''), await fakePrograms('98', '98.1', '')];
    const newest = await fakePrograms('98.10', '98.10', '');
    vi.stubEnv('PATH', `${newest}:${older}`);
    vi.stubEnv('PGCONVOY_PG98_BIN', newer);
    try {
      expect(await createPrograms().version()).toEqual({ bin: newest, version: '98.10', major: 98 });
    } finally {
      vi.unstubAllEnvs();
    }
  });

  test('none: one message with the remedy, and once they are there they are found', async () => {
    const programs = createPrograms({ bin: join(folder, 'later') });
    const error = await programs.version().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).text).toMatch(/not found in .*later.*\n.*postgresql-client/s);
    const bin = await fakePrograms('later', '18.1', '');
    expect(await programs.version()).toMatchObject({ bin });
  });
});

test('a database of an odd name, and the password in the environment alone', async () => {
  const name = await pair.database(`a=b 'x' "y" \\ %`, 'create table t (a int)');
  const spy = await fakePrograms('spy', '99.0', `echo "$@" > ${folder}/args; env > ${folder}/env; exit 0`);
  await createPrograms({ bin: spy }).dumpSchema(pair.clusters.source, name, join(folder, 'x'), EVERYTHING, signal);
  expect(await readFile(join(folder, 'args'), 'utf8')).not.toContain(pair.source.password);
  expect(await readFile(join(folder, 'env'), 'utf8')).toContain(`PGPASSWORD=${pair.source.password}\n`);

  const file = join(folder, 'odd.dump');
  await pair.clusters.programs.dumpSchema(pair.clusters.source, name, file, EVERYTHING, signal);
  expect((await stat(file)).size).toBeGreaterThan(0);
  expect(await pair.clusters.programs.dumpedSql(file, signal)).toContain('CREATE TABLE public.t');
});

describe('what goes wrong', () => {
  test('a database that is not there', async () => {
    const error = (await pair.clusters.programs
      .dumpSchema(pair.clusters.source, 'no such "db"', join(folder, 'y'), EVERYTHING, signal)
      .catch((thrown: unknown) => thrown)) as Error;
    expect(error.message).toMatch(/^source, database "no such "db"": pg_dump 18\S* failed: .*does not exist/);
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain(pair.source.password);
  });

  test('a pg_dump that is older than the server', async () => {
    const old = await sharedCluster(15);
    const error = await createPrograms({ bin: old.bin })
      .dumpSchema(pair.clusters.target, 'postgres', join(folder, 'z'), EVERYTHING, signal)
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).text).toMatch(
      /target, database "postgres".*server version mismatch.*\n.*tools\.bin/s,
    );
  });

  test('a server that is not there', async () => {
    const { address } = pair.clusters.source;
    const nowhere = new Cluster('source', { ...address, port: 1 }, 'postgres');
    const dumped = pair.clusters.programs.dumpSchema(nowhere, 'postgres', join(folder, 'n'), EVERYTHING, signal);
    await expect(dumped).rejects.toBeInstanceOf(UnreachableError);
  });

  test('a table that somebody holds: waited for, not forever', async () => {
    const bin = await fakePrograms(
      'locked',
      '99.1',
      'echo "pg_dump: error: query failed: ERROR:  canceling statement due to lock timeout" >&2; exit 1',
    );
    const error = await createPrograms({ bin })
      .dumpSchema(pair.clusters.source, 'postgres', join(folder, 'l'), EVERYTHING, signal)
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ disposition: 'wait' });
  });

  test('an abort ends the program', async () => {
    const bin = await fakePrograms('slow', '99.2', 'exec sleep 60');
    const controller = new AbortController();
    const dumped = createPrograms({ bin }).dumpSchema(
      pair.clusters.source,
      'postgres',
      join(folder, 's'),
      EVERYTHING,
      controller.signal,
    );
    const reason = new Error('cancelled');
    setTimeout(() => controller.abort(reason), 100);
    await expect(dumped).rejects.toBe(reason);
  });
});
