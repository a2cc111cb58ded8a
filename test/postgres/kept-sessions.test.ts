import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Cluster } from '../../src/postgres/cluster.ts';
import { clusterUrl, startCluster } from '../helpers/servers.ts';
import type { Cluster as Server } from '../helpers/servers.ts';
import { eventually } from '../helpers/wait.ts';

let server: Server;
let cluster: Cluster;
const application = new pg.Pool({ max: 1 });
beforeAll(async () => {
  server = await startCluster({ major: 15, name: 'kept', settings: { max_connections: 25 } });
  const { host, port, user, password } = server;
  const address = { host, port, user, password, ssl: false as const, connectTimeoutMs: 5_000 };
  cluster = new Cluster('source', address, 'postgres');
  Object.assign(application.options, { connectionString: clusterUrl(server, 'postgres') });
});
afterAll(async () => {
  await cluster.close();
  await application.end();
  await server.stop();
});

const kept = async (): Promise<readonly number[]> => {
  const { rows } = await application.query<{ pid: number }>(
    `select pid from pg_stat_activity where application_name = 'pgconvoy/test' order by backend_start`,
  );
  return rows.map(({ pid }) => pid);
};
const pidOf = (client: pg.Client) => (client as unknown as { processID: number }).processID;

test('of what a server has room for, half is kept for the next steps; each database gets its own back', async () => {
  const [first, ...others] = [
    await cluster.connect('postgres', 'pgconvoy/test'),
    ...(await Promise.all(Array.from({ length: 14 }, () => cluster.connect('template1', 'pgconvoy/test')))),
  ];
  expect(await kept()).toHaveLength(15);
  cluster.keep('postgres', first);
  for (const client of others) cluster.keep('template1', client);
  // 25, 3 of them reserved, 1 in use when it was asked.
  await eventually(async () => expect(await kept()).toHaveLength(10));
  expect(await kept()).toContain(pidOf(others.at(-1)!));
  const again = await cluster.connect('template1', 'pgconvoy/test');
  expect(others.map(pidOf)).toContain(pidOf(again));
  cluster.keep('template1', again);

  // Where no room is left at all, our own step goes before what is kept for later ones.
  const crowd = new pg.Pool({ connectionString: clusterUrl(server, 'postgres'), max: 20 });
  crowd.on('error', () => {});
  const taken = await Promise.allSettled(Array.from({ length: 20 }, () => crowd.connect()));
  expect(taken.some(({ status }) => status === 'rejected')).toBe(true);
  const needed = await eventually(() => cluster.connect('postgres', 'pgconvoy/test'));
  cluster.keep('postgres', needed);
  for (const each of taken) if (each.status === 'fulfilled') each.value.release();
  await crowd.end();

  await cluster.close();
  await eventually(async () => expect(await kept()).toEqual([]));
});

test('who the server is, is asked once of each session, whichever job has it', async () => {
  const last = async (name: string) => {
    const { rows } = await application.query<{ pid: number; query: string }>(
      `select pid, query from pg_stat_activity where application_name = '${name}'`,
    );
    return rows[0]!;
  };
  const job = async (applicationName: string) => {
    const bound = cluster.bind({ applicationName, signal: new AbortController().signal });
    const facts = await bound.facts();
    const seen = await last(applicationName);
    await bound.close();
    return { facts, ...seen };
  };
  const [first, second] = [await job('pgconvoy/one'), await job('pgconvoy/two')];
  expect(first.query).toContain('server_version_num');
  expect(second.query).not.toContain('server_version_num');
  expect(second).toMatchObject({ pid: first.pid, facts: first.facts });

  await application.query('select pg_terminate_backend($1)', [first.pid]);
  const third = await eventually(async () => {
    const one = await job('pgconvoy/three');
    expect(one.pid).not.toBe(first.pid);
    return one;
  });
  expect(third.query).toContain('server_version_num');
  expect(third.facts).toEqual(first.facts);
  await cluster.close();
});
