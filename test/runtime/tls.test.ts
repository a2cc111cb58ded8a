import { chownSync, copyFileSync, readFileSync, chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';
import { loadConfig } from '../../src/config/load.ts';
import { Cluster } from '../../src/postgres/cluster.ts';
import { sql } from '../../src/postgres/sql.ts';
import { openQueues } from '../../src/queue/queues.ts';
import { listRuns } from '../../src/queue/read-run.ts';
import { onServer } from '../helpers/pair.ts';
import { serverUser } from '../helpers/server-process.ts';
import { startCluster } from '../helpers/servers.ts';
import type { Cluster as TestCluster } from '../helpers/servers.ts';

/** A key that protects nothing: made for these tests, for a server named localhost. */
const KEYS = join(import.meta.dirname, '../helpers/tls');

describe('sslmode on a server with TLS', () => {
  let server: TestCluster;
  beforeAll(async () => {
    server = await startCluster({ major: 18 });
    for (const name of ['server.key', 'server.pem']) {
      const file = join(server.dataFolder, name);
      copyFileSync(join(KEYS, name), file);
      chmodSync(file, 0o600);
      if (serverUser.uid !== undefined) chownSync(file, serverUser.uid, serverUser.gid ?? serverUser.uid);
    }
    server.configure({ ssl: true, ssl_cert_file: 'server.pem', ssl_key_file: 'server.key' });
    // One role that must not use TLS.
    const hba = join(server.dataFolder, 'pg_hba.conf');
    writeFileSync(hba, `hostssl all plain_only all reject\n${readFileSync(hba, 'utf8')}`);
    await server.restart();
  });
  afterAll(() => server.stop());

  /** Whether a session with these keys of the configuration is encrypted. */
  async function encrypted(host: string, keys: Record<string, string>): Promise<boolean> {
    const parameters = new URLSearchParams(keys).toString();
    const password = encodeURIComponent(server.password);
    const url = `postgres://postgres:${password}@${encodeURIComponent(host)}:${server.port}/postgres?${parameters}`;
    const { addresses } = loadConfig({
      env: { HOME: '/nonexistent' },
      cwd: '/nonexistent',
      flags: { source: url, target: url },
    });
    const cluster = new Cluster('source', addresses.source, 'postgres');
    const bound = cluster.bind({ applicationName: 'pgconvoy/test', signal: new AbortController().signal });
    try {
      const { ssl } = await bound.maintenance.one(
        z.object({ ssl: z.boolean() }),
        sql`select ssl from pg_stat_ssl where pid = pg_backend_pid()`,
      );
      return ssl;
    } finally {
      await bound.close();
      await cluster.close();
    }
  }
  const ca = join(KEYS, 'ca.pem');
  const other = join(KEYS, 'other-ca.pem');

  test('disable, prefer and require', async () => {
    expect(await encrypted('127.0.0.1', { sslmode: 'disable' })).toBe(false);
    expect(await encrypted('127.0.0.1', { sslmode: 'prefer' })).toBe(true);
    expect(await encrypted('127.0.0.1', { sslmode: 'require' })).toBe(true);
    expect(await encrypted(server.socketFolder, { sslmode: 'require' })).toBe(false);
  });

  test('verify-ca looks at the authority, verify-full at the name too', async () => {
    expect(await encrypted('127.0.0.1', { sslmode: 'verify-ca', sslrootcert: ca })).toBe(true);
    expect(await encrypted('localhost', { sslmode: 'verify-full', sslrootcert: ca })).toBe(true);
    await expect(encrypted('127.0.0.1', { sslmode: 'verify-full', sslrootcert: ca })).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringMatching(/IP: 127\.0\.0\.1 is not in the cert/) as unknown,
    });
    for (const sslmode of ['verify-ca', 'verify-full', 'require']) {
      await expect(encrypted('localhost', { sslmode, sslrootcert: other })).rejects.toMatchObject({
        exitCode: 4,
        message: expect.stringMatching(/certificate/) as unknown,
      });
    }
    await expect(encrypted('localhost', { sslmode: 'verify-full', sslrootcert: 'system' })).rejects.toMatchObject({
      exitCode: 4,
    });
  });

  test('prefer goes without TLS where pg_hba.conf wants it so', async () => {
    const address = {
      host: '127.0.0.1',
      port: server.port,
      user: 'plain_only',
      password: 'word',
      connectTimeoutMs: 5_000,
    };
    const admin = new Cluster(
      'source',
      { ...address, user: 'postgres', password: server.password, ssl: false },
      'postgres',
    );
    const bound = admin.bind({ applicationName: 'pgconvoy/test', signal: new AbortController().signal });
    await bound.maintenance.run(sql`create role plain_only login password 'word'`);
    await bound.close();
    await admin.close();

    const cluster = new Cluster(
      'source',
      { ...address, ssl: { rejectUnauthorized: false }, sslmode: 'prefer' },
      'postgres',
    );
    const client = await cluster.connect('postgres', 'pgconvoy/test');
    await client.end();
    const strict = new Cluster(
      'source',
      { ...address, ssl: { rejectUnauthorized: false }, sslmode: 'require' },
      'postgres',
    );
    await expect(strict.connect('postgres', 'pgconvoy/test')).rejects.toMatchObject({ sqlstate: '28000' });
  });

  test('a queue in PostgreSQL with verify-full: each of its sessions, and nobody whose authority is another', async () => {
    const open = (authority: string) => {
      const place = `postgres://postgres:${encodeURIComponent(server.password)}@localhost:${server.port}/postgres`;
      const { config } = loadConfig({
        env: { HOME: '/nonexistent' },
        cwd: '/nonexistent',
        flags: {
          source: 'postgres://a@nowhere/postgres',
          target: 'postgres://b@nowhere/postgres',
          queue: `${place}?sslmode=verify-full&sslrootcert=${encodeURIComponent(authority)}`,
        },
      });
      return openQueues(config.queue, 'worker');
    };
    await expect(open(other)).rejects.toMatchObject({
      name: 'UnreachableError',
      message: expect.stringMatching(/certificate/) as unknown,
    });
    const queues = await open(ca);
    try {
      expect(await listRuns(queues)).toEqual([]);
      const sessions = await onServer(
        server,
        'postgres',
        `select ssl, count(*)::int > 0 as some from pg_stat_ssl join pg_stat_activity using (pid)
          where backend_type = 'client backend' and pid <> pg_backend_pid() group by ssl`,
      );
      expect(sessions).toEqual([{ ssl: true, some: true }]);
    } finally {
      await queues.close();
    }
  });
});
