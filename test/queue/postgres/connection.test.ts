import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ConfigError, ExitCode, UnreachableError } from '../../../src/errors.ts';
import { connect } from '../../../src/queue/connection.ts';
import { openQueues } from '../../../src/queue/queues.ts';
import { listRuns, readRun, workersListening } from '../../../src/queue/read-run.ts';
import { checkServer } from '../../../src/queue/store.ts';
import type { QueueConfig } from '../../../src/queue/store.ts';
import { openQueueDatabase, queueConfigOf } from '../../helpers/queue-database.ts';
import { sharedCluster, startCluster } from '../../helpers/servers.ts';

async function refusal(config: QueueConfig, identify?: Parameters<typeof connect>[2]): Promise<UnreachableError> {
  const refused = await connect(config, 'command', identify).then(
    () => undefined,
    (error: unknown) => error as UnreachableError,
  );
  if (!refused) throw new Error('it worked');
  expect(refused.text).not.toContain(config.server?.password || 'nothing');
  return refused;
}

const withServer = (config: QueueConfig, server: Partial<NonNullable<QueueConfig['server']>>): QueueConfig => ({
  ...config,
  server: { ...config.server!, ...server },
});

test('what keeps a queue from PostgreSQL is one text with the remedy each: down, wrong password, no such database, no right, too old', async () => {
  const down = await refusal(withServer(queueConfigOf(await sharedCluster(15), 'postgres'), { port: 1 }));
  expect(down).toBeInstanceOf(UnreachableError);
  expect(down.exitCode).toBe(ExitCode.unreachable);
  expect(down.message).toContain('cannot be reached: connect ECONNREFUSED 127.0.0.1:1');
  expect(down.hint).toContain('queue.url');

  await using database = await openQueueDatabase();
  const { config } = database;
  const wrong = await refusal(withServer(config, { password: 'geheim' }));
  expect(wrong.message).toMatch(/refused us: password authentication failed/);
  expect(wrong.hint).toContain('queue.passwordFile');
  const none = await refusal(withServer(config, { password: '' }));
  expect(none.message).toContain('refused us');
  const missing = await refusal(withServer(config, { database: 'no such "database"' }));
  expect(missing.message).toContain('refused us: database "no such "database"" does not exist');

  const role = `nobody_${randomBytes(4).toString('hex')}`;
  await database.query(`create role ${role} login password 'nobody'`);
  const forbidden = await refusal({ ...withServer(config, { user: role, password: 'nobody' }), prefix: 'another' });
  expect(forbidden.message).toContain('does not let us keep jobs: permission denied for database');
  expect(forbidden.hint).toContain('GRANT CREATE ON DATABASE');
  await database.query(`drop role ${role}`);

  const old = await refusal(queueConfigOf(await sharedCluster(10), 'postgres'));
  expect(old).toBeInstanceOf(ConfigError);
  expect(old.message).toMatch(/is PostgreSQL 10[.]\d+.*; 13 or later is needed to keep jobs\.$/);
});

test('a server that is to be upgraded is refused before anything is touched; one that is away must be known before there are tables', async () => {
  await using database = await openQueueDatabase();
  const config = { ...database.config, prefix: 'a-b' };
  const schemas = async () =>
    (
      await database.query<{ name: string }>("select nspname as name from pg_namespace where nspname like '%queue'")
    ).map(({ name }) => name);
  const [identity] = await database.query<{ id: string }>(
    'select system_identifier::text as id from pg_control_system()',
  );
  const upgraded = await refusal(config, async () => [
    { side: 'source', systemIdentifier: '1' },
    { side: 'target', systemIdentifier: identity!.id },
  ]);
  expect(upgraded).toBeInstanceOf(ConfigError);
  expect(upgraded.message).toContain('is on the target of the upgrade itself');
  expect(upgraded.hint).toContain('Nothing was touched');
  const away = new UnreachableError('source: nobody there', { hint: 'Start it.' });
  const unknown = async () => [{ side: 'source' as const, away }];
  expect(await refusal(config, unknown)).toBe(away);
  expect(await schemas()).toEqual(['pgconvoy_queue']);

  const asked: boolean[] = [];
  const elsewhere = async (made: boolean) => {
    asked.push(made);
    return [{ side: 'source' as const, systemIdentifier: '1' }];
  };
  await (await connect(config, 'command', elsewhere)).close();
  await (await connect(config, 'command', elsewhere)).close();
  await (await connect(config, 'command', unknown)).close();
  expect(asked).toEqual([false, true]);
  expect((await schemas()).toSorted()).toEqual(['a_b_queue', 'pgconvoy_queue']);
});

test('PostgreSQL going away under a command is the same text, and the command works again when it is back; a standby is refused', async () => {
  await using server = await startCluster({ major: 15, name: 'queue-away' });
  const config = queueConfigOf(server, 'postgres');
  const queues = await openQueues(config, 'command');
  expect(await listRuns(queues)).toEqual([]);
  expect(await workersListening(queues)).toEqual({ count: 0, names: [] });
  expect((await checkServer(queues)).map(({ message }) => message)).toEqual([
    `The queue at ${queues.address} has fsync off: after a crash of its machine the run may be gone.`,
  ]);
  await server.shutdown();
  await expect(readRun(queues, 'any')).rejects.toMatchObject({
    name: 'UnreachableError',
    message: expect.stringContaining(`The queue at postgres://127.0.0.1:${server.port}/postgres cannot be reached`),
  });
  await server.start();
  await expect.poll(() => listRuns(queues).catch(() => 'down'), { timeout: 10_000 }).toEqual([]);
  await queues.close();

  await server.shutdown();
  writeFileSync(join(server.dataFolder, 'standby.signal'), '');
  await server.start();
  const standby = await refusal(config);
  expect(standby).toBeInstanceOf(ConfigError);
  expect(standby.message).toContain('is a standby: nothing can be written there');
});
