import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runOperation } from '../../../src/engine/run-operation.ts';
import { replicationConninfo } from '../../../src/operations/replication/conninfo.ts';
import { createSlot } from '../../../src/operations/replication/create-slot.ts';
import { createSubscription } from '../../../src/operations/replication/create-subscription.ts';
import { replicationSecret } from '../../../src/operations/replication/secret.ts';
import { withRoom } from '../../../src/operations/replication/way-back.ts';
import { id, lit } from '../../../src/postgres/sql.ts';
import { subscriptionName } from '../../../src/replication/names.ts';
import { proveContract, proveKilledAndRunAgain } from '../../helpers/contract.ts';
import { onServer, TestPair } from '../../helpers/pair.ts';
import { startCluster } from '../../helpers/servers.ts';
import { schemaOnBothSides, walkTo } from '../../helpers/streaming.ts';

const PAIRS = [
  { source: 10, target: 18 },
  { source: 13, target: 17 },
  { source: 15, target: 18 },
] as const;

describe.each(PAIRS)('from $source to $target', ({ source, target }) => {
  let pair: TestPair;
  beforeAll(async () => {
    pair = await TestPair.open({ source, target });
  });
  afterAll(() => pair[Symbol.asyncDispose]());

  test('the subscription is made on the slot, disabled, and can be dropped without it', async () => {
    const database = await schemaOnBothSides(pair, 'My "odd" DB, 100%', 'create table t (id int primary key)');
    await walkTo(pair, database, 'create-slot');
    const { output } = await proveContract(pair, createSubscription, database);
    const name = subscriptionName(database);
    expect(output).toEqual({ subscription: name });
    const [row] = await pair.query(
      'target',
      database,
      `select subenabled, subslotname::text, (select count(*)::int from pg_subscription_rel where srsubid = s.oid) as tables
         from pg_subscription s where subname = '${name}'`,
    );
    expect(row).toEqual({ subenabled: false, subslotname: name, tables: 1 });
    expect((await createSlot.check(pair.context(database))).holds).toBe(true);
  });
});

test('killed in the middle, it converges', async () => {
  await using pair = await TestPair.open();
  const database = await schemaOnBothSides(pair, 'killed', 'create table t (id int primary key)');
  await walkTo(pair, database, 'create-slot');
  await proveKilledAndRunAgain(pair, createSubscription, database, [3, 15, 40]);
});

test('without a slot it says what to do', async () => {
  await using pair = await TestPair.open();
  const database = await schemaOnBothSides(pair, 'no slot', 'create table t (id int primary key)');
  await walkTo(pair, database, 'create-publication');
  await expect(runOperation(createSubscription, pair.context(database))).rejects.toMatchObject({
    message: expect.stringContaining('is not there'),
    hint: expect.stringContaining('pgconvoy start'),
  });
});

test('the password is in no log, no view and no error', async () => {
  await using target = await startCluster({
    major: 18,
    name: 'logging-target',
    settings: {
      log_statement: 'all',
      log_min_duration_statement: 0,
      shared_preload_libraries: 'pg_stat_statements',
      'pg_stat_statements.track': 'all',
    },
  });
  await using pair = await TestPair.open({ target });
  await pair.query('target', 'postgres', 'create extension pg_stat_statements');
  const database = await schemaOnBothSides(pair, 'secret', 'create table t (id int primary key)');
  await walkTo(pair, database, 'create-slot');
  const password = await replicationSecret(pair.context(undefined));
  expect(password).toMatch(/.{20}/);

  // The source refuses the role: the error comes from libpq, with what it was told.
  await pair.query('source', 'postgres', `alter role ${pair.clusters.settings.replication.role} nologin`);
  const error = await runOperation(createSubscription, pair.context(database)).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ name: 'UnreachableError', hint: expect.stringContaining('pg_hba.conf') });
  expect(JSON.stringify([error, (error as Error).message, (error as Error).stack])).not.toContain(password);

  await pair.query('source', 'postgres', `alter role ${pair.clusters.settings.replication.role} login`);
  await runOperation(createSubscription, pair.context(database));
  const conninfo = await replicationConninfo(pair.context(database), database);
  const [stored] = await pair.query('target', database, 'select subconninfo from pg_subscription');
  expect(stored?.['subconninfo']).toBe(conninfo);

  const statements = JSON.stringify(await pair.query('target', 'postgres', 'select query from pg_stat_statements'));
  const sessions = JSON.stringify(await pair.query('target', 'postgres', 'select query from pg_stat_activity'));
  const log = readFileSync(target.logFile, 'utf8');
  expect(log).toContain('create database');
  for (const text of [statements, sessions, log]) expect(text).not.toContain(password);
});

test('while the way back is made nobody gets into the closed target, also where a cutover that was given back has granted the privilege', async () => {
  await using pair = await TestPair.open();
  const database = await schemaOnBothSides(pair, 'room', '');
  const [role, name] = [pair.name('room app'), id(database).text];
  await pair.query('target', 'postgres', `create role ${id(role).text} login password 'p'`);
  await pair.query('target', 'postgres', `alter database ${name} connection limit 0`);
  const limit = async () =>
    (
      await pair.query(
        'target',
        'postgres',
        `select datconnlimit from pg_database where datname = ${lit(database).text}`,
      )
    )[0];
  const entering = () => onServer({ ...pair.target, user: role, password: 'p' }, database, 'select 1');
  await expect(entering()).rejects.toThrow('too many connections');
  try {
    const made = withRoom(pair.context(database, { reversed: true, input: { wayBack: true } }), async () => {
      expect(await limit()).toEqual({ datconnlimit: -1 });
      await expect(entering()).rejects.toThrow('permission denied for database');
      return 'made';
    });
    expect(await made).toBe('made');
    expect(await limit()).toEqual({ datconnlimit: 0 });
  } finally {
    await pair.query('target', 'postgres', `drop role ${id(role).text}`);
  }
});
