import pg from 'pg';
import { from } from 'pg-copy-streams';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';
import { Cluster } from '../../src/postgres/cluster.ts';
import type { BoundCluster } from '../../src/postgres/cluster.ts';
import type { Database } from '../../src/postgres/database.ts';
import { sql } from '../../src/postgres/sql.ts';
import { clusterUrl, sharedCluster } from '../helpers/servers.ts';

const Value = z.object({ value: z.string() });
const Count = z.object({ count: z.number() });

/** What goes to the server with a statement, BEGIN and timeouts, changes nothing about the statement. */
describe.each([10, 18] as const)('PostgreSQL %i', (major) => {
  let cluster: Cluster;
  let bound: BoundCluster;
  let database: Database;
  let other: pg.Client;
  beforeAll(async () => {
    const server = await sharedCluster(major);
    const { host, port, user, password } = server;
    cluster = new Cluster('source', { host, port, user, password, ssl: false, connectTimeoutMs: 5_000 }, 'postgres');
    bound = cluster.bind({ applicationName: 'pgconvoy/test', signal: new AbortController().signal });
    database = bound.maintenance;
    other = new pg.Client({ connectionString: clusterUrl(server, 'postgres') });
    await other.connect();
    await other.query('create table public.one_message (id int primary key)');
  });
  afterAll(async () => {
    await other.query('drop table public.one_message');
    await other.end();
    await bound.close();
    await cluster.close();
  });

  const ids = async () => (await other.query<{ id: number }>('select id from public.one_message order by id')).rows;
  const setting = async (name: string) =>
    (await database.one(Value, sql`select current_setting(${name}) as value`)).value;
  const insert = (number: number) => sql`insert into public.one_message values (${number})`;

  test('a transaction begins with its first statement, whatever that is', async () => {
    const plain = sql`insert into public.one_message values (1); insert into public.one_message values (2)`;
    expect(await database.transaction(async () => 'nothing asked')).toBe('nothing asked');
    await database.transaction(async () => {
      await database.run(plain);
      expect(await ids()).toEqual([]);
      expect(await database.one(Count, sql`select count(*)::int as count from public.one_message`)).toEqual({
        count: 2,
      });
    });
    await database.transaction(async () => {
      await database.run(insert(3));
      expect(await ids()).toHaveLength(2);
    });
    await database.transaction(async () => {
      expect(await database.atOnce([sql`select 1 as one`, sql`select ${2}::int as two`])).toEqual([
        [{ one: 1 }],
        [{ two: 2 }],
      ]);
      await database.run(insert(4));
    });
    await database.transaction(async () => {
      await database.exclusively(async (client) => {
        const stream = client.query(from('copy public.one_message from stdin'));
        await new Promise((resolve, reject) => stream.on('error', reject).on('finish', resolve).end('5\n'));
      });
      expect(await ids()).toHaveLength(4);
    });
    expect(await ids()).toHaveLength(5);
    await other.query('delete from public.one_message');
  });

  test('what fails takes all of it back, and the session goes on', async () => {
    for (const fails of [sql`select 1/0`, sql`selec 1`, sql`select 1 / ${0}::int`]) {
      const attempt = database.transaction(async () => {
        if (fails.values.length > 0) await database.run(sql`insert into public.one_message values (1)`);
        await database.run(fails);
      });
      await expect(attempt).rejects.toThrow(/division by zero|syntax error/);
      expect(await ids()).toEqual([]);
      // Its own, not a part of what has failed.
      await database.run(insert(1));
      expect(await ids()).toEqual([{ id: 1 }]);
      await other.query('delete from public.one_message');
    }
  });

  test('a lock is waited for as long as the statement says, and the next one waits for ever again', async () => {
    await other.query('begin; lock table public.one_message');
    const shortly = { lockTimeoutMs: 50 };
    const read = sql`select count(*)::int as count from public.one_message`;
    await expect(database.many(Count, read, shortly)).rejects.toMatchObject({ sqlstate: '55P03' });
    expect(await setting('lock_timeout')).toBe('0');
    await expect(database.transaction(() => database.run(insert(1), shortly))).rejects.toMatchObject({
      sqlstate: '55P03',
    });
    await expect(
      database.transaction(() => database.run(sql`alter table public.one_message add n int`, shortly)),
    ).rejects.toMatchObject({ sqlstate: '55P03' });
    await other.query('commit');
    expect(await setting('lock_timeout')).toBe('0');
    expect(await database.many(Count, read, shortly)).toEqual([{ count: 0 }]);
    await database.transaction(async () => {
      expect(await database.many(Count, read, shortly)).toEqual([{ count: 0 }]);
      expect(await setting('lock_timeout')).toBe('0');
    });
    expect(await setting('lock_timeout')).toBe('0');
  });

  test('a timeout of the statement itself holds for it alone', async () => {
    const slow = sql`select pg_sleep(30)`;
    await expect(database.run(slow, { statementTimeoutMs: 50 })).rejects.toMatchObject({ sqlstate: '57014' });
    await expect(
      database.transaction(() => database.run(slow, { statementTimeoutMs: 50, lockTimeoutMs: 50 })),
    ).rejects.toMatchObject({ sqlstate: '57014' });
    expect(await setting('statement_timeout')).toBe('0');
  });
});
